import java.io.File;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import kudari.CpuEngine;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.Optimizer;
import kudari.Schedule;
import kudari.Tensor;
import kudari.data.Digits;
import kudari.data.Sampler;
import kudari.rule.Adam;
import kudari.rule.AdamW;
import kudari.rule.Sgd;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/** A network of Deeplearning4j learns to read digits, in both ways of docs/dl4j.md: by an updater under fit(), and over params() in a loop of its own. */
public class Dl4jExample {

    static final int EPOCHS = 6, BATCH = 50;
    static final kudari.data.Dataset TRAIN = Digits.train(2000, 1), TEST = Digits.test(500, 2);

    /** Under fit(). */
    public static class AdamCosine extends KudariUpdater {
        @Override
        protected Schedule schedule() {
            return LearningRate.cosine(3e-3, 0, EPOCHS * TRAIN.size() / BATCH)
                    .warmUp(20)
                    .of(Adam.of());
        }
    }

    /** Deeplearning4j's own Adam, in Kudari. */
    public static class SameAdam extends KudariUpdater {
        @Override
        protected Schedule schedule() {
            return Schedule.of(Adam.dl4j(1e-3));
        }
    }

    public static void main(String[] args) throws Exception {
        updaterInFit();
        overParams();
        sameAsTheirs();
        savedAndLoaded();
    }

    static void updaterInFit() {
        MultiLayerNetwork net = network(new AdamCosine());
        Sampler batches = Sampler.epochs(TRAIN.size(), BATCH, 1);
        for (int step = 0; step < EPOCHS * TRAIN.size() / BATCH; step++) net.fit(batch(TRAIN, batches.next()));
        learned("an updater under fit()", net);
    }

    static void overParams() {
        MultiLayerNetwork net = network(new NoOp());
        Sampler batches = Sampler.epochs(TRAIN.size(), BATCH, 1);
        try (CpuEngine engine = Engine.cpu()) {
            LearningRate rate =
                    LearningRate.cosine(3e-3, 0, EPOCHS * TRAIN.size() / BATCH).warmUp(20);
            Optimizer adamw = engine.optimizer(
                            Group.of("*_b", rate.of(AdamW.of().decay(0))), Group.rest(rate.of(AdamW.of())))
                    .guard(Guard.clipNorm(1).scale(1.0 / BATCH)); // its gradients are sums over a batch
            for (int step = 0; step < EPOCHS * TRAIN.size() / BATCH; step++) {
                step(engine, adamw, net, batch(TRAIN, batches.next()));
            }
        }
        learned("over params()", net);
    }

    static void step(CpuEngine engine, Optimizer optimizer, MultiLayerNetwork net, DataSet batch) {
        net.setInput(batch.getFeatures());
        net.setLabels(batch.getLabels());
        net.computeGradientAndScore();
        optimizer.update(
                tensors(engine, net.paramTable()),
                tensors(engine, net.gradient().gradientForVariable()));
    }

    /** By DL4J's names, as 0_W and 0_b, in its memory. What it has column by column is a vector here. */
    static Map<String, Tensor> tensors(CpuEngine engine, Map<String, INDArray> arrays) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        arrays.forEach((name, array) -> tensors.put(name, engine.wrap(KudariUpdater.elements(array))));
        return tensors;
    }

    /** In the first steps, in which rounding has not yet grown: later Adam near a minimum is chaotic. */
    static void sameAsTheirs() {
        MultiLayerNetwork adam = network(new SameAdam()),
                theirAdam = network(new org.nd4j.linalg.learning.config.Adam(1e-3)),
                sgd = network(new NoOp()),
                theirSgd = network(new org.nd4j.linalg.learning.config.Sgd(0.1));
        float[] start = adam.params().toFloatVector();
        Sampler batches = Sampler.epochs(TRAIN.size(), BATCH, 1);
        try (CpuEngine engine = Engine.cpu()) {
            Optimizer overParams = engine.optimizer(Sgd.of(0.1)).guard(Guard.NONE.scale(1.0 / BATCH));
            for (int step = 0; step < 5; step++) {
                DataSet batch = batch(TRAIN, batches.next());
                adam.fit(batch);
                theirAdam.fit(batch);
                step(engine, overParams, sgd, batch);
                theirSgd.fit(batch);
            }
        }
        near("Adam under fit()", adam, theirAdam, start);
        near("Sgd over params()", sgd, theirSgd, start);
    }

    static void near(String what, MultiLayerNetwork ours, MultiLayerNetwork theirs, float[] start) {
        float[] a = ours.params().toFloatVector(), b = theirs.params().toFloatVector();
        double apart = 0, moved = 0;
        for (int i = 0; i < a.length; i++) {
            apart += Math.pow(a[i] - b[i], 2);
            moved += Math.pow(b[i] - start[i], 2);
        }
        System.out.printf(
                "%s: after 5 steps %.1e of the way apart from Deeplearning4j's%n", what, Math.sqrt(apart / moved));
        check(moved > 0 && Math.sqrt(apart / moved) < 1e-4, "not the same rule");
    }

    static void savedAndLoaded() throws Exception {
        MultiLayerNetwork net = network(new SameAdam());
        Sampler batches = Sampler.epochs(TRAIN.size(), BATCH, 1);
        for (int step = 0; step < 5; step++) net.fit(batch(TRAIN, batches.next()));
        File file = File.createTempFile("kudari", ".zip");
        file.deleteOnExit();
        net.save(file, true);
        MultiLayerNetwork loaded = MultiLayerNetwork.load(file, true);
        for (int step = 0; step < 5; step++) {
            DataSet batch = batch(TRAIN, batches.next());
            net.fit(batch);
            loaded.fit(batch);
        }
        boolean same =
                Arrays.equals(net.params().toFloatVector(), loaded.params().toFloatVector());
        System.out.println("saved, loaded and trained on: " + (same ? "the same bits" : "other numbers"));
        check(same, "a loaded network goes another way");
    }

    static MultiLayerNetwork network(IUpdater updater) {
        MultiLayerNetwork net = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .seed(1)
                .updater(updater)
                .list()
                .layer(new DenseLayer.Builder()
                        .nIn(TRAIN.features())
                        .nOut(100)
                        .activation(Activation.RELU)
                        .build())
                .layer(new OutputLayer.Builder(LossFunction.MCXENT)
                        .nIn(100)
                        .nOut(10)
                        .activation(Activation.SOFTMAX)
                        .build())
                .build());
        net.init();
        return net;
    }

    static DataSet batch(kudari.data.Dataset from, int[] samples) {
        float[] x = new float[samples.length * from.features()];
        int[] labels = new int[samples.length];
        from.gather(samples, samples.length, x, labels);
        INDArray hot = Nd4j.zeros(samples.length, from.classes());
        for (int i = 0; i < labels.length; i++) hot.putScalar(i, labels[i], 1);
        return new DataSet(Nd4j.createFromArray(x).reshape(samples.length, from.features()), hot);
    }

    static void learned(String how, MultiLayerNetwork net) {
        int[] all = new int[TEST.size()];
        for (int i = 0; i < all.length; i++) all[i] = i;
        INDArray found = net.output(batch(TEST, all).getFeatures()).argMax(1);
        int right = 0;
        for (int i = 0; i < all.length; i++) right += found.getInt(i) == TEST.label(i) ? 1 : 0;
        System.out.printf("%s: %.1f %% of %d new digits read right%n", how, 100.0 * right / all.length, all.length);
        check(right > 0.8 * all.length, "it did not learn");
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) throw new IllegalStateException(otherwise);
    }
}
