import kudari.CpuEngine;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.LearningRate;
import kudari.data.Dataset;
import kudari.data.Digits;
import kudari.data.Sampler;
import kudari.rule.AdamW;
import kudari.torch.TorchOptimizer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * A network of PyTorch learns to read digits. AdamW steps it, with a warm-up and a cosine, clipped, and with no decay of biases; JavaCPP's PyTorch has
 * AdamW alone.
 */
public class TorchExample {

    static class Net extends Module {
        final LinearImpl first = new LinearImpl(784, 100), second = new LinearImpl(100, 10);

        Net() {
            register_module("first", first);
            register_module("second", second);
        }

        Tensor forward(Tensor x) {
            return second.forward(torch.relu(first.forward(x)));
        }
    }

    static final int EPOCHS = 6, BATCH = 50;

    public static void main(String[] args) {
        torch.manual_seed(1);
        Net net = new Net();
        Dataset train = Digits.train(3000, 1), test = Digits.test(500, 2);
        Sampler batches = Sampler.epochs(train.size(), BATCH, 1);
        int steps = EPOCHS * train.size() / BATCH;

        try (CpuEngine engine = Engine.cpu();
                TorchOptimizer optimizer = new TorchOptimizer(
                        engine.optimizer(
                                        Group.vectors(
                                                "*", rate(steps).of(AdamW.of().decay(0))),
                                        Group.rest(rate(steps).of(AdamW.of())))
                                .guard(Guard.clipNorm(1)),
                        net.named_parameters())) {
            for (int step = 1; step <= steps; step++) {
                try (PointerScope scope = new PointerScope()) { // frees what the step makes
                    net.zero_grad(true);
                    Batch batch = Batch.of(train, batches.next());
                    Tensor loss = torch.cross_entropy_loss(net.forward(batch.x), batch.labels);
                    loss.backward();
                    optimizer.step();
                    if (step * BATCH % train.size() == 0)
                        System.out.printf("step %d: loss %.3f%n", step, loss.item_float());
                }
            }
            System.out.println(optimizer.optimizer().steps() + " steps, the last one's gradients of norm "
                    + (float) optimizer.optimizer().norm());
        }

        double right = accuracy(net, test);
        System.out.printf("%.1f %% of %d new digits read right%n", 100 * right, test.size());
        if (right < 0.85) throw new IllegalStateException("it did not learn");
    }

    static LearningRate rate(int steps) {
        return LearningRate.cosine(3e-3, 0, steps).warmUp(20);
    }

    record Batch(Tensor x, Tensor labels) {

        static Batch of(Dataset from, int[] samples) {
            float[] x = new float[samples.length * from.features()];
            int[] labels = new int[samples.length];
            from.gather(samples, samples.length, x, labels);
            return new Batch(
                    torch.tensor(x).view(samples.length, from.features()),
                    torch.tensor(labels).to(torch.ScalarType.Long));
        }
    }

    static double accuracy(Net net, Dataset test) {
        int[] all = new int[test.size()];
        for (int i = 0; i < all.length; i++) all[i] = i;
        Batch batch = Batch.of(test, all);
        return net.forward(batch.x)
                .argmax(new org.bytedeco.pytorch.LongOptional(1), false)
                .eq(batch.labels)
                .to(torch.ScalarType.Float)
                .mean()
                .item_float();
    }
}
