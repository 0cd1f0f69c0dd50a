package kudari.djl;

import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.Block;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.evaluator.Accuracy;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import java.util.Random;

/** What the tests train: points in the plane, of which class 1 is inside a circle, and a network of 2-16-2. */
final class Task {

    static final int BATCH = 32;

    private Task() {}

    static Block block() {
        return new SequentialBlock()
                .add(Linear.builder().setUnits(16).build())
                .add(Activation::tanh)
                .add(Linear.builder().setUnits(2).build());
    }

    /** A model whose block is initialized, the same numbers for a seed. */
    static Model model(long seed) {
        Model model = Model.newInstance("circle");
        Block block = block();
        model.setBlock(block);
        block.initialize(model.getNDManager(), model.getDataType(), new Shape(BATCH, 2));
        Random random = new Random(seed);
        block.getParameters().values().forEach(parameter -> {
            float[] values = floats(random, (int) parameter.getArray().size());
            for (int n = 0; n < values.length; n++) values[n] *= 0.5f;
            parameter.getArray().set(values);
        });
        return model;
    }

    static Trainer trainer(Model model, Optimizer optimizer) {
        Trainer trainer = model.newTrainer(new DefaultTrainingConfig(Loss.softmaxCrossEntropyLoss())
                .optOptimizer(optimizer)
                .addEvaluator(new Accuracy()));
        trainer.initialize(new Shape(BATCH, 2));
        return trainer;
    }

    static float[] floats(Random random, int count) {
        float[] values = new float[count];
        for (int n = 0; n < count; n++) values[n] = (float) random.nextGaussian();
        return values;
    }

    static float[] points(long seed, int count) {
        return floats(new Random(seed), 2 * count);
    }

    static float[] labels(float[] points) {
        float[] labels = new float[points.length / 2];
        for (int n = 0; n < labels.length; n++) labels[n] = Math.hypot(points[2 * n], points[2 * n + 1]) < 1.2 ? 1 : 0;
        return labels;
    }

    /** Forward and backward over the batch of a number, as loops of one's own have it. */
    static float backward(Trainer trainer, long batch) {
        try (NDManager manager = trainer.getManager().newSubManager()) {
            float[] points = points(batch, BATCH);
            NDArray x = manager.create(points, new Shape(BATCH, 2)), y = manager.create(labels(points));
            try (GradientCollector collector = trainer.newGradientCollector()) {
                NDArray loss = trainer.getLoss().evaluate(new NDList(y), trainer.forward(new NDList(x)));
                collector.backward(loss);
                return loss.getFloat();
            }
        }
    }

    /** Steps over the batches from a number to another. */
    static float train(Trainer trainer, int from, int to) {
        float loss = 0;
        for (int batch = from; batch < to; batch++) {
            loss = backward(trainer, batch);
            trainer.step();
        }
        return loss;
    }

    static float[] floats(Model model, String name) {
        return model.getBlock().getParameters().get(name).getArray().toFloatArray();
    }
}
