import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.EasyTrain;
import ai.djl.training.Trainer;
import ai.djl.training.dataset.ArrayDataset;
import ai.djl.training.loss.Loss;
import java.nio.file.Path;
import java.util.Map;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.djl.DjlOptimizer;
import kudari.rule.AdamW;

/**
 * Classifies drawn digits with a network of DJL's, trained by {@code EasyTrain.fit} with AdamW of Kudari's: biases without decay, a cosine after a warm-up,
 * gradients clipped by the norm of the whole model. Ends with status 1 if it has not learned.
 */
public class DigitsInDjl {

    private static final int IMAGES = 4000, BATCH = 50, EPOCHS = 6, STEPS = EPOCHS * IMAGES / BATCH;

    public static void main(String[] args) throws Exception {
        var network = new SequentialBlock()
                .add(Linear.builder().setUnits(64).build())
                .add(Activation::relu)
                .add(Linear.builder().setUnits(10).build());
        try (Model model = Model.newInstance("digits");
                var engine = DjlOptimizer.engine(model.getNDManager().getDevice())) {
            model.setBlock(network);
            model.getNDManager().getEngine().setRandomSeed(1);
            var rate = LearningRate.cosine(3e-3, 0, STEPS - 20).warmUp(20);
            var adamw = engine.optimizer(
                            Group.of("*_bias", rate.of(AdamW.of().decay(0))), Group.rest(rate.of(AdamW.of())))
                    .guard(Guard.clipNorm(1));
            var optimizer = new DjlOptimizer(network, adamw);
            var config = new DefaultTrainingConfig(Loss.softmaxCrossEntropyLoss()).optOptimizer(optimizer);
            try (Trainer trainer = model.newTrainer(config)) {
                NDManager manager = trainer.getManager();
                Dataset digits = Digits.train(IMAGES, 1);
                trainer.initialize(new Shape(BATCH, digits.features()));
                EasyTrain.fit(trainer, EPOCHS, batches(manager, digits), null);

                double accuracy = accuracy(trainer, Digits.test(500, 1));
                optimizer.checkpoint(Map.of("epochs", "" + EPOCHS)).write(Path.of("target/digits.safetensors"));
                System.out.printf(
                        "DJL: %d steps of AdamW on %s, the last of norm %.2f; %.1f %% of 500 other digits are right%n",
                        adamw.steps(), engine, adamw.norm(), 100 * accuracy);
                if (adamw.steps() != STEPS || accuracy < 0.85) System.exit(1);
            }
        }
    }

    private static ArrayDataset batches(NDManager manager, Dataset digits) {
        return new ArrayDataset.Builder()
                .setData(images(manager, digits))
                .optLabels(manager.create(digits.labels()))
                .setSampling(BATCH, true)
                .build();
    }

    private static NDArray images(NDManager manager, Dataset digits) {
        return manager.create(digits.x(), new Shape(digits.size(), digits.features()));
    }

    private static double accuracy(Trainer trainer, Dataset digits) {
        try (NDManager manager = trainer.getManager().newSubManager()) {
            NDArray scores =
                    trainer.evaluate(new NDList(images(manager, digits))).singletonOrThrow();
            NDArray right = scores.argMax(1).toType(DataType.INT32, false).eq(manager.create(digits.labels()));
            return (double) right.countNonzero().getLong() / digits.size();
        }
    }
}
