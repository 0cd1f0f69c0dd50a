package kudari.djl;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import kudari.Engine;
import kudari.Optimizer;
import kudari.Tensor;

/** The parameters of a model on one device, and the optimizer that steps them: gathers a step's gradients, and does it. */
final class Replica {

    final Device device;
    final Optimizer optimizer;
    final Engine engine;
    final Memory memory;

    /** By name, of the step that is being gathered. */
    private final Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();

    private final Map<String, PtNDArray> weights = new LinkedHashMap<>();

    /** Of the last step; some may be closed by now. */
    private final Map<String, PtNDArray> stepped = new LinkedHashMap<>();

    /** Whose array was the block's own when it came last. */
    private final Set<String> theBlocks = new HashSet<>();

    /** What keeps the memory of gradients until they have been read. */
    private final List<PtNDArray> held = new ArrayList<>();

    Replica(Device device, Optimizer optimizer) {
        this.device = Objects.requireNonNull(device, "device");
        this.optimizer = Objects.requireNonNull(optimizer, "optimizer for " + device);
        this.engine = optimizer.engine();
        this.memory = Memory.of(engine);
    }

    boolean has(String name) {
        return weights.containsKey(name);
    }

    int size() {
        return weights.size();
    }

    /**
     * Takes a parameter's part of a step.
     *
     * @param isTheBlocks whether the array is the block's own
     */
    void take(String name, PtNDArray weight, PtNDArray grad, boolean isTheBlocks) {
        Tensor param = memory.parameter(name, weight);
        grads.put(name, memory.gradient(name, grad, held));
        params.put(name, param);
        weights.put(name, weight);
        if (isTheBlocks) theBlocks.add(name);
        else theBlocks.remove(name);
    }

    /** The step, of all that has been taken. */
    void step() {
        // One may have been closed after it came, and its memory be gone.
        weights.forEach((name, weight) -> {
            if (weight.isReleased()) throw new IllegalStateException(DjlOptimizer.parameter(name) + " is closed");
        });
        optimizer.update(params, grads);
        weights.forEach((name, weight) -> {
            JniUtils.zeroGrad(weight);
            memory.changed(name);
        });
        stepped.clear();
        stepped.putAll(weights);
        forget();
    }

    /** Begins anew. */
    void forget() {
        params.clear();
        grads.clear();
        weights.clear();
        held.forEach(PtNDArray::close);
        held.clear();
    }

    /** Whether it was the block's own array that was stepped last, and the block has another now. */
    boolean isReplaced(String name, NDArray now) {
        return theBlocks.contains(name) && stepped.get(name) != now;
    }

    /** The parameters of the last step that are still there, by name; a new map. */
    Map<String, Tensor> stepped() {
        Map<String, Tensor> params = new LinkedHashMap<>();
        stepped.forEach((name, weight) -> {
            if (!weight.isReleased()) params.put(name, memory.parameter(name, weight));
        });
        return params;
    }
}
