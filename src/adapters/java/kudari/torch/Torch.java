package kudari.torch;

import java.lang.ref.Reference;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.bytedeco.pytorch.LinearImpl;
import org.bytedeco.pytorch.Module;
import org.bytedeco.pytorch.StringTensorDict;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** What the tests need of libtorch. */
final class Torch {

    private Torch() {}

    /** Two layers, of more than one chunk of the CPU engine, a number and an empty vector. */
    static final class Net extends Module {
        final LinearImpl first = new LinearImpl(150, 120), second = new LinearImpl(120, 10);
        // Handles of their own: what register_parameter gives is a place in a table that moves as it grows.
        final Tensor gain = new Tensor(register_parameter("gain", torch.ones(new long[0]), true));
        final Tensor nothing = new Tensor(register_parameter("nothing", torch.ones(0), true));

        Net() {
            register_module("first", first);
            register_module("second", second);
        }

        Tensor forward(Tensor x) {
            return second.forward(torch.relu(first.forward(x)).mul(gain));
        }
    }

    /** A network that a seed makes. */
    static Net net(long seed) {
        torch.manual_seed(seed);
        return new Net();
    }

    /** Elements, in row-major order. */
    static float[] values(Tensor tensor) {
        float[] values = new float[(int) tensor.numel()];
        if (values.length > 0) tensor.contiguous().data_ptr_float().get(values);
        return values;
    }

    static Map<String, float[]> values(Module of) {
        Map<String, float[]> values = new LinkedHashMap<>();
        StringTensorDict named = of.named_parameters();
        for (long n = 0; n < named.size(); n++)
            values.put(named.get(n).key().getString(), values(named.get(n).value()));
        Reference.reachabilityFence(named);
        return values;
    }

    static Tensor tensor(float[] values, Tensor like) {
        return torch.tensor(values).view_as(like);
    }

    /** Gives every parameter a new gradient, and tells what. */
    static Map<String, float[]> fillGradients(Module of, Random random) {
        Map<String, float[]> grads = new LinkedHashMap<>();
        StringTensorDict named = of.named_parameters();
        for (long n = 0; n < named.size(); n++) {
            Tensor param = named.get(n).value();
            float[] values = random((int) param.numel(), random);
            grads.put(named.get(n).key().getString(), values);
            param.mutable_grad().put(tensor(values, param));
        }
        Reference.reachabilityFence(named);
        return grads;
    }

    /** Numbers of 0.5 to 2, of both signs. */
    static float[] random(int size, Random random) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (random.nextBoolean() ? 1 : -1) * (0.5f + 1.5f * random.nextFloat());
        return values;
    }

    /** The mean square of what a network makes of some input: a loss. */
    static Tensor loss(Net net, Tensor x) {
        return net.forward(x).square().mean();
    }
}
