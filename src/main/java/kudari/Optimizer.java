package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import kudari.rule.Rule;

/**
 * Who remembers: the state of a rule for every parameter, and the number of steps done. Made by {@link Engine#optimizer(Rule)}.
 *
 * <p>State is made when a name is first seen, at the rule's initial value, so a parameter may be added at any time. A parameter that an
 * update leaves out keeps its value and its state. All parameters share one step count.
 */
public final class Optimizer {

    /** The name of the parameter in {@link #update(Tensor, Tensor)}, under which {@link #state} finds it. */
    public static final String SINGLE = "param";

    private final Engine engine;
    private final Schedule schedule;
    private final Class<? extends Rule> kind;
    private final Map<String, Tensor[]> state = new HashMap<>();
    private Steps steps;
    private boolean clips;

    // The tensors of the last update, which the steps have laid out: again only when the tensors change.
    private boolean bound;
    private String[] names = {};
    private Tensor[] params = {};
    private Tensor[] grads = {};

    Optimizer(Engine engine, Schedule schedule) {
        this.engine = engine;
        this.schedule = schedule;
        this.kind = schedule.rule(1).getClass();
        this.steps = engine.steps(schedule.rule(1), this::scalars, Double.POSITIVE_INFINITY);
    }

    /**
     * Clips gradients by their global norm from now on: where ‖g‖, the norm over all gradients of an update as one vector, exceeds the largest
     * allowed, the step is that of g · max / ‖g‖. The gradients themselves stay as they are.
     *
     * <p>A norm that is not finite, because a gradient is not, skips the step: parameters, state and step count stay as they were, and {@link
     * #skipped} counts it. On a device that happens there, and nothing waits for it.
     *
     * <p>The sum under the root is taken in double, in an order that depends on names and shapes alone, so that the same bits come out on every
     * engine. Source: R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm 1.
     * PyTorch divides by ‖g‖ + 10⁻⁶ instead.
     *
     * @param max the largest norm, positive and finite, in units of gradient
     * @return this optimizer
     * @throws IllegalArgumentException if it is not
     * @throws IllegalStateException if a step has been done, or gradients are clipped already
     */
    public Optimizer clipNorm(double max) {
        engine.check();
        if (!(max > 0 && max < Double.POSITIVE_INFINITY))
            throw new IllegalArgumentException("max: expected a positive, finite norm, got " + max);
        if (clips) throw new IllegalStateException("gradients are clipped already");
        if (steps() > 0)
            throw new IllegalStateException("clipNorm: expected before the first step, got after step " + steps());
        Steps plain = steps;
        steps = engine.steps(schedule.rule(1), this::scalars, max);
        clips = true;
        bound = false; // an update that failed may have laid them out for the other steps
        plain.free();
        return this;
    }

    /**
     * One step: changes every parameter in place, against its gradient. Returns at once where the engine works on its own, unless the set
     * of tensors has changed since the last step; reading a tensor waits.
     *
     * @param params the parameters by name
     * @param grads the gradients, under the same names and of the same shapes
     * @throws IllegalArgumentException if the names or shapes do not match, a tensor is another engine's, or one memory stands under two
     *     names; nothing has changed then
     * @throws IllegalStateException if the engine is closed, this is not the thread that opened it, or the schedule changes the kind of rule;
     *     nothing has changed then
     */
    public void update(Map<String, Tensor> params, Map<String, Tensor> grads) {
        engine.check();
        if (!isBound(params, grads)) bind(params, grads);
        steps.next();
    }

    /**
     * One step over a single parameter, whose name is {@link #SINGLE}.
     *
     * @see #update(Map, Map)
     */
    public void update(Tensor param, Tensor grad) {
        engine.check();
        boolean same = bound && names.length == 1 && names[0].equals(SINGLE) && params[0] == param && grads[0] == grad;
        if (!same) bind(Map.of(SINGLE, param), Map.of(SINGLE, grad));
        steps.next();
    }

    /** The rule of the step to come. Waits as {@link #steps} does. */
    public Rule rule() {
        return rule(steps() + 1);
    }

    /** The number of steps done. Waits where gradients are clipped and the engine works on its own, for only a device knows what it skipped. */
    public long steps() {
        engine.check();
        return steps.done();
    }

    /** The number of steps that {@link #clipNorm} left out because the norm was not finite. Waits as {@link #steps} does. */
    public long skipped() {
        engine.check();
        return steps.skipped();
    }

    /**
     * The global norm of the gradients of the last update, before clipping; 0 before the first. Waits as {@link #steps} does.
     *
     * @throws IllegalStateException if gradients are not clipped
     */
    public double norm() {
        engine.check();
        if (!clips) throw new IllegalStateException("no norm is taken: ask for it by clipNorm(max)");
        return steps.norm();
    }

    /**
     * The state of one parameter: the tensors themselves, by the names that {@link Rule#state} gives them.
     *
     * @throws IllegalArgumentException if no update has seen the name
     */
    public Map<String, Tensor> state(String name) {
        Tensor[] tensors = state.get(name);
        if (tensors == null)
            throw new IllegalArgumentException("'" + name + "': no state; an update has seen " + sorted(state));
        Map<String, Tensor> byName = new LinkedHashMap<>();
        List<String> arrays = schedule.rule(1).state();
        for (int n = 0; n < tensors.length; n++) byName.put(arrays.get(n), tensors[n]);
        return byName;
    }

    /**
     * Goes on where another run stopped: forgets what this optimizer knew, copies the state of these parameters and sets the step count.
     * An update that follows computes the same bits as if the other run had never stopped.
     *
     * @param steps the number of steps done, as from {@link #steps}
     * @param saved for each parameter its state arrays, as from {@link #state}, on this engine
     * @throws IllegalArgumentException if the count is negative, an array is missing or unknown, or shapes differ; nothing has changed then
     */
    public void resume(long steps, Map<String, Map<String, Tensor>> saved) {
        engine.check();
        if (steps < 0) throw new IllegalArgumentException("steps: expected at least 0, got " + steps);
        List<String> arrays = rule(steps + 1).state();
        Map<String, Tensor[]> copies = new HashMap<>();
        List<Tensor> fresh = new ArrayList<>();
        try {
            saved.forEach((name, tensors) -> {
                if (!tensors.keySet().equals(Set.copyOf(arrays))) {
                    throw new IllegalArgumentException(
                            "state of '" + name + "': expected " + arrays + ", got " + sorted(tensors));
                }
                Tensor[] copy = new Tensor[arrays.size()];
                for (int n = 0; n < copy.length; n++) {
                    Tensor tensor = tensors.get(arrays.get(n));
                    checkPlace("state of '" + name + "'", tensor);
                    copy[n] = engine.zeros(tensor.shape());
                    fresh.add(copy[n]);
                    copy[n].set(tensor.get());
                    checkShape("state of '" + name + "'", copy[0], copy[n]);
                }
                copies.put(name, copy);
            });
            this.steps.resume(steps);
        } catch (RuntimeException | Error e) {
            engine.discard(fresh, e);
            throw e;
        }
        state.clear();
        state.putAll(copies);
        bound = false;
    }

    private void scalars(long t, float[] k) {
        rule(t).at(t, k);
    }

    private Rule rule(long t) {
        Rule rule = schedule.rule(t);
        if (rule.getClass() != kind) {
            throw new IllegalStateException("the schedule gives " + rule + " for step " + t
                    + ", but the state is that of " + kind.getSimpleName());
        }
        return rule;
    }

    private boolean isBound(Map<String, Tensor> params, Map<String, Tensor> grads) {
        if (!bound || params.size() != names.length || grads.size() != names.length) return false;
        for (int n = 0; n < names.length; n++) {
            if (params.get(names[n]) != this.params[n] || grads.get(names[n]) != this.grads[n]) return false;
        }
        return true;
    }

    /** Checks the tensors of an update, makes the state of those not seen before, and has the engine lay them out. */
    private void bind(Map<String, Tensor> params, Map<String, Tensor> grads) {
        if (!params.keySet().equals(grads.keySet())) {
            throw new IllegalArgumentException(
                    "grads: expected the names of params, " + sorted(params) + ", got " + sorted(grads));
        }
        Map<Object, String> memories = new HashMap<>();
        params.forEach((name, param) -> {
            checkPlace("params '" + name + "'", param);
            String other = memories.put(param.memory(), name);
            if (other != null)
                throw new IllegalArgumentException("params '" + name + "': the same memory as params '" + other + "'");
            Tensor[] known = state.get(name);
            if (known != null && known.length > 0) checkShape("params '" + name + "', by its state,", known[0], param);
        });
        grads.forEach((name, grad) -> {
            checkPlace("grads '" + name + "'", grad);
            checkShape("grads '" + name + "'", params.get(name), grad);
            String other = memories.get(grad.memory());
            if (other != null)
                throw new IllegalArgumentException("grads '" + name + "': the same memory as params '" + other + "'");
        });

        Rule rule = schedule.rule(1);
        // In order of names, whatever the map's, for the norm adds in this order.
        String[] names = params.keySet().stream()
                .sorted(Comparator.nullsFirst(Comparator.naturalOrder()))
                .toArray(String[]::new);
        Tensor[] p = new Tensor[names.length], g = new Tensor[names.length];
        Tensor[][] s = new Tensor[names.length][];
        List<Tensor> fresh = new ArrayList<>();
        bound = false;
        try {
            for (int n = 0; n < names.length; n++) {
                p[n] = params.get(names[n]);
                g[n] = grads.get(names[n]);
                Tensor[] known = state.get(names[n]);
                s[n] = known != null ? known : newState(rule, p[n], fresh);
            }
            steps.bind(p, g, s);
        } catch (RuntimeException | Error e) {
            engine.discard(fresh, e);
            throw e;
        }
        for (int n = 0; n < names.length; n++) state.put(names[n], s[n]);
        this.names = names;
        this.params = p;
        this.grads = g;
        bound = true;
    }

    private Tensor[] newState(Rule rule, Tensor param, List<Tensor> fresh) {
        Tensor[] tensors = new Tensor[rule.state().size()];
        for (int n = 0; n < tensors.length; n++) {
            tensors[n] = engine.full(rule.initial(), param.shape());
            fresh.add(tensors[n]);
        }
        return tensors;
    }

    private void checkPlace(String what, Tensor tensor) {
        if (tensor == null || tensor.engine != engine) { // a map may hold null
            throw new IllegalArgumentException(
                    what + ": expected a tensor of this optimizer's engine, " + engine + ", got " + tensor);
        }
    }

    private static void checkShape(String what, Tensor expected, Tensor actual) {
        if (!actual.hasShapeOf(expected)) {
            throw new IllegalArgumentException(what + ": expected shape " + Arrays.toString(expected.shape()) + ", got "
                    + Arrays.toString(actual.shape()));
        }
    }

    /** The names for a message; a map may hold null among them. */
    private static List<String> sorted(Map<String, ?> byName) {
        return byName.keySet().stream().map(String::valueOf).sorted().toList();
    }
}
