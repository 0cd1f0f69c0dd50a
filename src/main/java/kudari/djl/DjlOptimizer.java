package kudari.djl;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.nn.Block;
import ai.djl.nn.Parameter;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import ai.djl.util.Pair;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import kudari.CudaEngine;
import kudari.Engine;
import kudari.LearningRate;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;

/**
 * An optimizer of Kudari where DJL takes one of its own: in a {@code DefaultTrainingConfig}, for {@code EasyTrain.fit} and for loops that call {@code
 * Trainer.step}.
 *
 * <pre>{@code
 * try (var engine = DjlOptimizer.engine(model.getNDManager().getDevice())) {
 *     var adamw = engine.optimizer(LearningRate.cosine(1e-3, 0, 10_000).of(AdamW.of())).guard(Guard.clipNorm(1));
 *     config.optOptimizer(new DjlOptimizer(model.getBlock(), adamw));
 *     ...                                                  // the loop as it was
 * }
 * }</pre>
 *
 * <p>A parameter has the name that {@code block.getParameters()} gives it, {@code 01Linear_weight} say: by it groups take it, its state is found and
 * saved. DJL hands over one parameter after the other; with the last, all are stepped at once, with one norm over the whole model, and their
 * gradients are 0 afterwards. Parameters are changed where they are. A gradient is copied once on the CPU, because DJL may free it before the last
 * has come; on a GPU it is read where it is. Autograd is told of every step and {@link #restore}, so that a graph that needs the old values is refused by it. Frozen
 * parameters, DJL's {@code freeze} or {@link kudari.Group#frozen}, stay as they are. The block is looked at anew in each step: what it has been given since is
 * trained with the rest, and what it no longer has is refused.
 *
 * <p>On a GPU a step is one launch on the stream that DJL trains on, the null stream. There the address of an array is asked of a method of DJL's
 * PyTorch engine that is not public, by reflection. That has been tested on a GPU in software only, and not yet on a real one.
 *
 * <p>Refused by name, with nothing changed: an array that is closed; one that is not of DJL's PyTorch engine; one that is not float32, or is sparse; a
 * parameter that is not contiguous, as a transposed one; one of 2 GiB or more; one on a device without an optimizer. A parameter that has
 * moved is stepped where it is now. A step in which a parameter is missing that needs a gradient is not done, which the next one says.
 */
public final class DjlOptimizer extends Optimizer {

    private final Block block;

    /** By device; the first has what is saved. */
    private final Map<Device, Replica> replicas = new LinkedHashMap<>();

    /** The only optimizer, until its device is known. */
    private kudari.Optimizer single;

    /** Of each parameter of the block, by DJL's id: the first name it has there. */
    private final Map<String, String> names = new LinkedHashMap<>();

    /** By that name. */
    private final Map<String, Parameter> parameters = new LinkedHashMap<>();

    /** How many parameters the step has that is being gathered; 0 where that is not known. */
    private int expected;

    /** DJL's class asks for a builder, which sets what Kudari has elsewhere. */
    private static final class Builder extends OptimizerBuilder<Builder> {
        @Override
        protected Builder self() {
            return this;
        }
    }

    /**
     * Steps a block on one device.
     *
     * @param block whose parameters are trained
     * @param optimizer on the engine of their device, see {@link #engine}; whose steps nobody else takes
     */
    public DjlOptimizer(Block block, kudari.Optimizer optimizer) {
        super(new Builder());
        this.block = Objects.requireNonNull(block, "block");
        this.single = Objects.requireNonNull(optimizer, "optimizer");
    }

    /**
     * Steps a block that is trained on several devices at once: each has its own copy of the parameters and of the state, DJL adds the gradients up, and all
     * take the same steps.
     *
     * @param block whose parameters are trained
     * @param optimizers for each device one on its engine, see {@link #engine}; all with the same groups and guard
     */
    public DjlOptimizer(Block block, Map<Device, kudari.Optimizer> optimizers) {
        super(new Builder());
        this.block = Objects.requireNonNull(block, "block");
        if (optimizers.isEmpty())
            throw new IllegalArgumentException("optimizers: expected one for each device, got none");
        optimizers.forEach((device, optimizer) -> replicas.put(device, new Replica(device, optimizer)));
    }

    /**
     * The engine for a device of DJL's: on a GPU on the stream that DJL trains on, so that everything is in order.
     *
     * @throws IllegalArgumentException if it is neither a CPU nor a GPU of NVIDIA's
     * @throws kudari.CudaException as {@link Engine#cuda}
     */
    public static Engine engine(Device device) {
        if (device.getDeviceType().equals(Device.Type.CPU)) return Engine.cpu();
        if (device.isGpu()) return CudaEngine.open(device.getDeviceId(), 0L);
        throw new IllegalArgumentException("device: expected a CPU or a GPU, got " + device);
    }

    /**
     * DJL's tracker as a learning rate, which a rule's schedule is made of: {@code DjlOptimizer.learningRate(tracker).of(Adam.of())}. Step t has what the
     * tracker gives for t updates, as in DJL's own optimizers.
     *
     * @param tracker a pure function of the number of updates, as all of DJL's are
     */
    public static LearningRate learningRate(Tracker tracker) {
        Objects.requireNonNull(tracker, "tracker");
        return t -> tracker.getNewValue(Math.toIntExact(t));
    }

    /**
     * Takes a parameter and its gradient, and with the last of the block's parameters does the step. {@code Trainer.step} calls this.
     *
     * @param parameterId as {@link Parameter#getId} tells it
     * @param weight on one of the devices; it changes with the last
     * @param grad on the same device; it may be closed after the call, and on the CPU change
     * @throws IllegalArgumentException if the parameter is not the block's, or an array is refused, see above
     * @throws IllegalStateException if an array is closed, or the parameter comes again before all others have come, or as {@link
     *     kudari.Optimizer#update(Map, Map)}. Whatever came of the step before is forgotten then
     */
    @Override
    public void update(String parameterId, NDArray weight, NDArray grad) {
        try {
            String name = name(parameterId);
            PtNDArray to = checked(parameter(name), weight), by = checked(Memory.gradient(name), grad);
            Replica replica = replica(name, to.getDevice());
            if (replica.size() == 0) { // the block may have been given more, or others
                look();
                name = name(parameterId);
            }
            if (replica.has(name)) throw cameAgain(name, replica);
            if (replica.size() == 0 || expected == 0) expected = trained();
            replica.take(name, to, by, isOf(parameters.get(name), to));
            if (replica.size() == expected) replica.step();
        } catch (RuntimeException e) {
            replicas.values().forEach(Replica::forget);
            throw e;
        }
    }

    static String parameter(String name) {
        return "parameter '" + name + "'";
    }

    /** How many parameters a step has. */
    private int trained() {
        int count = 0;
        for (Parameter parameter : parameters.values()) if (isTrained(parameter)) count++;
        return count;
    }

    private static boolean isTrained(Parameter parameter) {
        return parameter.requiresGradient() && parameter.isInitialized();
    }

    /** Whether an array is the block's own, and not a device's copy or one that the block had before. */
    private static boolean isOf(Parameter parameter, PtNDArray array) {
        return parameter.isInitialized() && parameter.getArray() == array;
    }

    private IllegalStateException cameAgain(String name, Replica replica) {
        List<String> missing = parameters.values().stream()
                .filter(DjlOptimizer::isTrained)
                .map(parameter -> names.get(parameter.getId()))
                .filter(each -> !replica.has(each))
                .toList();
        return new IllegalStateException(
                "'" + name + "' came again before " + missing
                        + " came, so no step was done: call trainer.initialize(…) before the first step, and freeze what the loop does not train");
    }

    private String name(String id) {
        String name = names.get(id);
        if (name == null) {
            look();
            name = names.get(id);
        }
        if (name == null)
            throw new IllegalArgumentException(
                    "parameter id '" + id + "': expected one of the block's parameters, got none of " + names.values()
                            + "; give this the trainer's block, and where that has other layers now, make the trainer anew");
        return name;
    }

    /** Reads the block's parameters: some make theirs only when they are initialized. */
    private void look() {
        Map<String, Parameter> byName = new LinkedHashMap<>();
        names.clear();
        parameters.clear();
        expected = 0;
        for (Pair<String, Parameter> pair : block.getParameters()) {
            Parameter other = byName.putIfAbsent(pair.getKey(), pair.getValue());
            if (other != null && other != pair.getValue())
                throw new IllegalArgumentException(
                        "block: expected a name for each parameter, got '" + pair.getKey() + "' for two");
            if (names.putIfAbsent(pair.getValue().getId(), pair.getKey()) == null)
                parameters.put(pair.getKey(), pair.getValue());
        }
    }

    static PtNDArray checked(String what, NDArray array) {
        if (!(array instanceof PtNDArray given))
            throw new IllegalArgumentException(what + ": expected an array of DJL's PyTorch engine, got "
                    + (array == null ? null : "one of " + array.getClass()));
        if (given.isReleased()) throw new IllegalStateException(what + " is closed");
        if (given.getDataType() != DataType.FLOAT32)
            throw new IllegalArgumentException(what + ": expected float32, got " + given.getDataType());
        if (JniUtils.getLayout(given) != 0)
            throw new IllegalArgumentException(
                    what
                            + ": expected a dense array, got a sparse one; an embedding's gradient is dense without optSparseFormat");
        if (given.size() > Memory.LARGEST)
            throw new IllegalArgumentException(
                    what + ": expected at most " + Memory.LARGEST + " elements, got " + given.size());
        return given;
    }

    private Replica replica(String name, Device device) {
        if (single != null) bind(device);
        Replica replica = replicas.get(device);
        if (replica == null)
            throw new IllegalArgumentException(parameter(name) + " is on " + device + ": expected one on "
                    + replicas.keySet() + "; to train on several devices, give an optimizer for each");
        return replica;
    }

    private void bind(Device device) {
        replicas.put(device, new Replica(device, single));
        single = null;
    }

    /**
     * The run as it stands: the parameters that are trained, as they are on the first device, and their state, by the block's names. What is not trained,
     * as the running means of a batch normalisation, is in the model that DJL saves. Waits for the engine.
     *
     * @param facts what the run wants to know again
     * @throws IllegalStateException if a parameter is closed
     * @see Checkpoint#of
     */
    public Checkpoint checkpoint(Map<String, String> facts) {
        Replica first = first();
        return Checkpoint.of(first.optimizer, params(first, Set.of()), facts);
    }

    /**
     * Puts the run where a checkpoint stood, on all devices. Before the first step: when the block has been initialized, on the device of the optimizer;
     * and where there are several devices, before the trainer is made, which copies the parameters to the others.
     *
     * @throws IllegalArgumentException as {@link Checkpoint#restore}
     * @throws IllegalStateException if a parameter is closed, or is not yet where it is to be trained
     */
    public void restore(Checkpoint checkpoint) {
        Replica first = first();
        Map<String, Tensor> params = params(first, checkpoint.tensors().keySet());
        checkpoint.restore(first.optimizer, params);
        params.keySet().forEach(first.memory::changed);
        replicas.values().forEach(Replica::forget);
        for (Replica replica : replicas.values()) {
            if (replica == first) continue;
            // Where the copies have not been seen yet, only the state counts, and the parameters are the first
            // device's.
            Map<String, Tensor> stand = new LinkedHashMap<>();
            params.forEach((name, param) -> stand.put(name, replica.engine.zeros(param.shape())));
            Map<String, Tensor> copies = new LinkedHashMap<>(stand), seen = replica.stepped();
            copies.putAll(seen);
            checkpoint.restore(replica.optimizer, copies);
            seen.keySet().forEach(replica.memory::changed);
            stand.values().forEach(Tensor::close);
        }
    }

    /** The one for the first device; where it is not known yet, that of the block. */
    private Replica first() {
        look();
        if (single != null)
            bind(parameters.values().stream()
                    .filter(Parameter::isInitialized)
                    .findFirst()
                    .orElseThrow(() -> new IllegalStateException(
                            "block: expected initialized parameters, got none; call trainer.initialize(…) before"))
                    .getArray()
                    .getDevice());
        return replicas.values().iterator().next();
    }

    /**
     * The parameters on a device that are trained, have state or are in a checkpoint: those of the last step, or, where there was none or the block has been
     * given another array since, as by {@code Model.load}, the block's.
     */
    private Map<String, Tensor> params(Replica replica, Set<String> saved) {
        Map<String, Tensor> params = replica.stepped();
        parameters.forEach((name, parameter) -> {
            if (parameter.isInitialized() && replica.isReplaced(name, parameter.getArray())) params.remove(name);
            if (params.containsKey(name)
                    || !isTrained(parameter) && !replica.optimizer.knows(name) && !saved.contains("params/" + name))
                return;
            PtNDArray array = checked(parameter(name), parameter.getArray());
            if (!array.getDevice().equals(replica.device))
                throw new IllegalStateException(
                        parameter(name) + " is on " + array.getDevice() + ", and is to be trained on " + replica.device
                                + ": load the model there, or do a step before");
            params.put(name, replica.memory.parameter(name, array));
        });
        return params;
    }
}
