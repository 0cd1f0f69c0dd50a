package kudari;

import static java.util.Objects.requireNonNull;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;

/**
 * Updates parameters in place, and keeps what that takes: the state of every parameter, and the number of steps done. Made by {@link
 * Engine#optimizer(Group...)}.
 *
 * <p>State is made when a name is first seen, at its rule's initial value, so a parameter may be added at any time. A parameter that an
 * update leaves out keeps its value and its state. A schedule follows the steps of the optimizer; a rule's bias correction follows the steps in
 * which its group took part, so that a group that begins later begins with its own step 1. A parameter that joins a group that has stepped
 * shares the group's count: under Adam its first steps are up to √(1/(1 − β₂)) times as large. Give it a group of its own if that matters.
 */
public final class Optimizer implements AutoCloseable {

    /** The name of the parameter in {@link #update(Tensor, Tensor)}, under which {@link #state} finds it. */
    public static final String SINGLE = "param";

    private static final System.Logger LOG = System.getLogger(Optimizer.class.getName());

    /** So many names are told in a message; a model may have ten thousand. */
    private static final int TOLD = 8;

    /** Sets of tensors that are kept laid out. */
    private static final int MOST_BINDINGS = 8;

    private final Engine engine;
    private final List<Group> groups;

    /** Of each group its number among those that are not frozen, or −1. */
    private final int[] parts;

    private final Control control;
    private final Map<String, State> states = new HashMap<>();
    private Guard guard = Guard.NONE;
    private boolean zeroes, closed;

    /** Made at the first update. */
    private Optional<Driver> driver = Optional.empty();

    /** The work over the tensors of the last update, or none; and over those of updates before, the latest first. */
    private Binding binding = Binding.NONE;

    private final Deque<Binding> bindings = new ArrayDeque<>();

    /** The engine's {@link Engine#closings} when it was last seen that no tensor of these is closed. */
    private int closings;

    /** Changes when the state is no longer that of which a graph may have recorded updates. */
    private int generation;

    /** A parameter's state arrays, and their names. */
    private record State(List<String> names, Tensor[] arrays) {}

    /**
     * The tensors of an update, and what its driver makes of them.
     *
     * @param params in the order of their map
     * @param grads in the order of theirs
     * @param names of the parameters that are not frozen
     * @param active which groups, of those that are not frozen, have a parameter among them
     */
    private record Binding(
            Contents params, Contents grads, List<String> names, boolean[] active, Driver.Layout layout) {

        static final Binding NONE =
                new Binding(new Contents(Map.of()), new Contents(Map.of()), List.of(), new boolean[0], () -> {});

        boolean isOf(Map<String, Tensor> params, Map<String, Tensor> grads) {
            return this != NONE && this.params.isStill(params) && this.grads.isStill(grads);
        }

        boolean isGone() {
            return params.isGone() || grads.isGone();
        }

        boolean isOf(Tensor param, Tensor grad) {
            return this != NONE && this.params.isStill(param) && this.grads.isStill(grad);
        }
    }

    Optimizer(Engine engine, List<Group> groups) {
        this.engine = engine;
        this.groups = groups;
        parts = new int[groups.size()];
        List<Schedule> schedules = new ArrayList<>();
        for (int n = 0; n < parts.length; n++) {
            parts[n] = groups.get(n).schedule().isPresent() ? schedules.size() : -1;
            groups.get(n).schedule().ifPresent(schedules::add);
        }
        if (schedules.isEmpty())
            throw new IllegalArgumentException("groups: expected at least one with a rule, got " + groups);
        control = new Control(schedules);
    }

    /**
     * Has gradients scaled, clipped and checked before every step.
     *
     * @return this optimizer
     * @throws IllegalStateException if there has been an update
     */
    public Optimizer guard(Guard guard) {
        checkNew("guard");
        this.guard = requireNonNull(guard, "guard");
        return this;
    }

    /**
     * Has every update leave 0 in the gradients, ready for the next to be added up there, also where it leaves the step out.
     *
     * @return this optimizer
     * @throws IllegalStateException if there has been an update
     */
    public Optimizer zeroGradients() {
        checkNew("zeroGradients");
        zeroes = true;
        return this;
    }

    /**
     * Tells a listener of steps that were left out: how many there have been, some updates after there was one more, without a wait. What the
     * listener throws goes to the caller of that update, which has then done nothing.
     *
     * @return this optimizer
     */
    public Optimizer onSkip(LongConsumer listener) {
        check();
        control.onSkip(requireNonNull(listener, "listener"));
        return this;
    }

    /**
     * Another schedule from the next step on, as where a learning rate is lowered by hand. Waits as {@link #steps} does.
     *
     * @throws IllegalStateException if there is more than one group: name it
     */
    public void schedule(Schedule schedule) {
        if (groups.size() > 1)
            throw new IllegalStateException(
                    "schedule: expected the pattern of a group beside it, got none; there are " + groups);
        schedule(groups.get(0).pattern(), schedule);
    }

    /**
     * Another schedule for one group, from the next step on. Waits as {@link #steps} does.
     *
     * @param pattern the group's
     * @param schedule of the same kind of rule
     * @throws IllegalArgumentException if no group, or more than one, has the pattern and a rule
     */
    public void schedule(String pattern, Schedule schedule) {
        check();
        requireNonNull(schedule, "schedule");
        int[] of = IntStream.range(0, parts.length)
                .filter(n -> parts[n] >= 0 && groups.get(n).pattern().equals(pattern))
                .toArray();
        if (of.length == 0)
            throw new IllegalArgumentException(
                    "pattern '" + pattern + "': expected that of a group with a rule, got that of none of " + groups);
        if (of.length > 1)
            throw new IllegalArgumentException("pattern '" + pattern + "': expected that of one group, got that of "
                    + of.length + " of " + groups + "; give each its own, as '**' for '*'");
        engine.inContext(() -> control.schedule(parts[of[0]], schedule));
    }

    /**
     * One step: changes every parameter in place, against its gradient. Returns at once where the engine works on its own, unless the set
     * of tensors has changed since the last step; reading a tensor waits.
     *
     * @param params the parameters by name
     * @param grads the gradients, under the same names and of the same shapes; those of frozen parameters may be left out
     * @throws IllegalArgumentException if the names or shapes do not match, no group takes a parameter, a group has none at the first update, a
     *     vector's group has a rule that takes matrices alone, a tensor is another engine's, or memory overlaps; nothing has changed then
     * @throws IllegalStateException if the engine is closed, this is not the thread that opened it, or the schedule has no rule of the right kind
     *     for the step; nothing has changed then
     */
    public void update(Map<String, Tensor> params, Map<String, Tensor> grads) {
        check();
        engine.enter();
        try {
            begin();
            if (!binding.isOf(params, grads)) bind(requireNonNull(params, "params"), requireNonNull(grads, "grads"));
            step();
        } finally {
            engine.leave();
        }
    }

    /**
     * One step over a single parameter, whose name is {@link #SINGLE}.
     *
     * @see #update(Map, Map)
     */
    public void update(Tensor param, Tensor grad) {
        check();
        engine.enter();
        try {
            begin();
            if (!binding.isOf(param, grad))
                bind(Map.of(SINGLE, requireNonNull(param, "param")), Map.of(SINGLE, requireNonNull(grad, "grad")));
            step();
        } finally {
            engine.leave();
        }
    }

    private void begin() {
        if (engine.recording().isEmpty()) {
            engine.checkNotCapturing("an update");
            control.hear(); // whose listener may do a step of its own, or close this
            check();
        }
        if (closings != engine.closings()) forgetClosed();
    }

    private void step() {
        if (engine.recording().isPresent()) {
            record(engine.recording().get());
        } else {
            control.take(binding.active);
            control.step();
        }
    }

    /** Writes a step down in a graph. */
    private void record(CudaGraph graph) {
        graph.updates(this).add(binding.active);
        control.record();
    }

    /** Before the launch of a graph that has updates of this optimizer: tells the listener, who may step or close what is in the graph. */
    void before() {
        check();
        control.hear();
    }

    /** After that. */
    void prepare(CapturedUpdates captured) {
        check();
        if (captured.generation != generation)
            throw new IllegalStateException(
                    "launch: an optimizer of the graph has been resumed since the capture; capture anew");
        control.take(captured.active);
        control.prepare(captured.count());
    }

    /** After the launch. */
    void launched(CapturedUpdates captured) {
        control.launched(captured.count());
    }

    int generation() {
        return generation;
    }

    /** Forgets what is laid out over memory that is no more, and no longer takes closed tensors for what they were. */
    private void forgetClosed() {
        states.forEach((name, state) -> {
            for (Tensor array : state.arrays)
                if (array.isClosed())
                    throw new IllegalStateException("the state of '" + name
                            + "' has been closed: it is the optimizer's; close the optimizer, or resume with a copy");
        });
        List<Binding> gone = bindings.stream().filter(Binding::isGone).toList();
        for (Binding kept : gone) {
            bindings.remove(kept);
            kept.layout.free();
        }
        if (gone.contains(binding)) binding = Binding.NONE;
        for (Binding kept : bindings) {
            kept.params.reopen();
            kept.grads.reopen();
        }
        closings = engine.closings();
    }

    /** The engine that it works on. */
    public Engine engine() {
        return engine;
    }

    /** The groups, in their order. */
    public List<Group> groups() {
        return groups;
    }

    /**
     * The rule that a parameter follows: that of the last step, or of step 1 before. Waits as {@link #steps} does.
     *
     * @return none if its group is frozen
     * @throws IllegalArgumentException if no group takes it
     */
    public Optional<Rule> rule(String name, Tensor param) {
        check();
        int part = parts[group(name, param)];
        return part < 0 ? Optional.empty() : Optional.of(engine.call(() -> control.rule(part)));
    }

    /** The number of steps done. Waits where a guard may leave steps out and the engine works on its own, for only a device knows of those. */
    public long steps() {
        check();
        return engine.call(control::settle);
    }

    /** The number of steps that were left out because a gradient was not finite. Waits as {@link #steps} does. */
    public long skipped() {
        check();
        return engine.call(control::now).skipped;
    }

    /** All that has been counted. Waits as {@link #steps} does. */
    public Counts counts() {
        check();
        return engine.call(control::counts);
    }

    /**
     * The global norm of the scaled gradients of the last update, before clipping; 0 before the first. Waits as {@link #steps} does.
     *
     * @throws IllegalStateException if the guard takes no norm
     */
    public double norm() {
        check();
        if (!guard.reduces())
            throw new IllegalStateException(
                    "no norm is taken: ask for it by guard(Guard.clipNorm(max)) or skipNonFinite()");
        return engine.call(control::now).norm;
    }

    /**
     * The state of one parameter: the tensors themselves, by the names that {@link Rule#state} gives them.
     *
     * @throws IllegalArgumentException if no update has seen the name
     */
    public Map<String, Tensor> state(String name) {
        check();
        State state = known(name);
        Map<String, Tensor> byName = new LinkedHashMap<>();
        for (int n = 0; n < state.arrays.length; n++) byName.put(state.names.get(n), state.arrays[n]);
        return byName;
    }

    /** Whether an update has seen the name of a parameter that is not frozen. */
    public boolean knows(String name) {
        check();
        return states.containsKey(name);
    }

    private State known(String name) {
        State state = states.get(name);
        if (state == null)
            throw new IllegalArgumentException("'" + name + "': no state; an update has seen " + told(states.keySet()));
        return state;
    }

    /** As {@link #resume(Counts, Map)}, where all groups have taken part in all of so many steps and none was left out. */
    public void resume(long steps, Map<String, Map<String, Tensor>> saved) {
        long active = Arrays.stream(parts).filter(part -> part >= 0).count();
        resume(new Counts(steps, 0, Collections.nCopies((int) active, steps)), saved);
    }

    /**
     * Goes on where another run stopped: forgets and closes the state it had, copies that of these parameters and sets the counts.
     * An update that follows computes the same bits as if the other run had never stopped.
     *
     * @param counts as from {@link #counts}
     * @param saved for each parameter its state arrays, as from {@link #state}, on this engine; a parameter without gets them when an update
     *     first sees it
     * @throws IllegalArgumentException if there are more or fewer groups, no group takes a name, an array is missing or unknown, or shapes differ;
     *     nothing has changed then
     */
    public void resume(Counts counts, Map<String, Map<String, Tensor>> saved) {
        check();
        engine.inContext(() -> {
            engine.checkNotCapturing("resuming an optimizer");
            resumeFrom(counts, saved);
        });
    }

    private void resumeFrom(Counts counts, Map<String, Map<String, Tensor>> saved) {
        Map<String, State> copies = new HashMap<>();
        List<Tensor> fresh = new ArrayList<>();
        try {
            saved.forEach((name, tensors) -> {
                if (!tensors.isEmpty()) copies.put(name, copy(name, tensors, fresh));
            });
            control.resume(counts);
        } catch (RuntimeException | Error e) {
            engine.discard(fresh, e);
            throw e;
        }
        List<State> old = List.copyOf(states.values());
        states.clear();
        states.putAll(copies);
        generation++;
        unbind();
        close(old);
    }

    private State copy(String name, Map<String, Tensor> tensors, List<Tensor> fresh) {
        String what = "state of '" + name + "'";
        tensors.values().forEach(tensor -> checkPlace(what, tensor));
        Tensor like = likeParam(name, tensors);
        int part = parts[group(name, like)];
        List<String> arrays = part < 0 ? List.of() : control.state(part);
        if (!tensors.keySet().equals(Set.copyOf(arrays)))
            throw new IllegalArgumentException(what + ": expected " + arrays + ", got " + told(tensors.keySet()));
        Tensor[] copy = new Tensor[arrays.size()];
        for (int n = 0; n < copy.length; n++) {
            Tensor tensor = tensors.get(arrays.get(n));
            checkShape(what, control.first()[part].shape(n, like.shape()), tensor);
            copy[n] = engine.zeros(tensor.shape());
            fresh.add(copy[n]);
            copy[n].set(tensor);
        }
        return new State(arrays, copy);
    }

    /** Of some saved state the array with the parameter's shape: the first of the rule that has such arrays. */
    private Tensor likeParam(String name, Map<String, Tensor> tensors) {
        return IntStream.range(0, parts.length)
                .filter(n -> parts[n] >= 0 && groups.get(n).takesName(name))
                .mapToObj(n -> control.state(parts[n]))
                .filter(arrays -> tensors.keySet().equals(Set.copyOf(arrays)))
                .map(arrays -> tensors.get(arrays.get(0)))
                .findFirst()
                .orElseGet(() -> tensors.values().iterator().next());
    }

    private static void close(Collection<State> states) {
        for (State state : states) for (Tensor array : state.arrays) array.close();
    }

    /** Forgets all that is laid out. */
    private void unbind() {
        binding = Binding.NONE;
        while (!bindings.isEmpty()) bindings.pop().layout.free();
    }

    /**
     * Gives back what it holds: the state of all parameters, which stay. Waits for the updates asked for. A graph that it is in cannot be launched any
     * more. Closing twice does nothing.
     */
    @Override
    public void close() {
        if (closed) return;
        engine.release(() -> {
            engine.checkNotCapturing("closing an optimizer");
            if (control.isAsking()) throw new IllegalStateException("a schedule closes the optimizer that asks it");
            unbind();
            driver.ifPresent(Driver::free);
            close(states.values());
        });
        closed = true;
    }

    private void checkNew(String what) {
        check();
        if (driver.isPresent())
            throw new IllegalStateException(what + ": expected before the first update, got after it");
    }

    private void check() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("the optimizer is closed");
        if (control.isAsking()) throw new IllegalStateException("a schedule calls the optimizer that asks it");
    }

    /** Turns to other tensors: to a set of an update before, or to one that it checks, makes state for where that is new, and has laid out. */
    private void bind(Map<String, Tensor> givenParams, Map<String, Tensor> givenGrads) {
        for (Binding kept : bindings) {
            if (!kept.isOf(givenParams, givenGrads)) continue;
            bindings.remove(kept);
            use(kept);
            return;
        }
        Contents params = new Contents(givenParams), grads = new Contents(givenGrads);
        // In order of names, whatever the map's, for sums are taken in this order.
        Map<String, Tensor> param = params.sorted(), grad = grads.sorted();
        if (param.containsKey(null)) throw new IllegalArgumentException("params: a name is null");
        Map<String, Integer> groupOf = groupsOf(param);
        checkNames(param, grad, groupOf);
        param.forEach((name, tensor) -> {
            checkPlace("params '" + name + "'", tensor);
            State known = states.get(name);
            if (known != null && known.arrays.length > 0)
                checkShape("params '" + name + "', whose state has another shape", known.arrays[0].shape(), tensor);
        });
        grad.forEach((name, tensor) -> {
            checkPlace("grads '" + name + "'", tensor);
            checkShape("grads '" + name + "'", param.get(name).shape(), tensor);
        });

        if (engine.recording().isPresent()) engine.checkNotCapturing("the layout of tensors that no update has seen");
        List<String> names = param.keySet().stream()
                .filter(name -> parts[groupOf.get(name)] >= 0)
                .toList();
        Tensor[] p = new Tensor[names.size()], g = new Tensor[names.size()];
        Tensor[][] s = new Tensor[names.size()][];
        int[] of = new int[names.size()];
        boolean[] active = new boolean[control.first().length];
        Map<String, State> joined = new HashMap<>();
        List<Tensor> fresh = new ArrayList<>();
        Binding bound;
        try {
            for (int n = 0; n < of.length; n++) {
                String name = names.get(n);
                p[n] = param.get(name);
                g[n] = grad.get(name);
                of[n] = parts[groupOf.get(name)];
                if (control.first()[of[n]] instanceof MatrixRule rule) checkMatrix(name, p[n], rule);
                active[of[n]] = true;
                State known = states.get(name);
                if (known == null) joined.put(name, known = newState(of[n], p[n], fresh));
                else checkState(name, of[n], known);
                s[n] = known.arrays;
            }
            Overlap.check(param, grad, !zeroes, List.of(byName(states), byName(joined)));
            Plan plan = new Plan(p, g, s, of);
            bound = new Binding(params, grads, names, active, layout(plan, names));
        } catch (RuntimeException | Error e) {
            engine.discard(fresh, e);
            throw e;
        }
        states.putAll(joined);
        use(bound);
        tellWhoJoined(joined.keySet(), groupOf);
    }

    private static Map<String, Tensor[]> byName(Map<String, State> states) {
        Map<String, Tensor[]> arrays = new HashMap<>();
        states.forEach((name, state) -> arrays.put(name, state.arrays));
        return arrays;
    }

    /** Lays out a plan, in the place of that of the same names if there is one. */
    private Driver.Layout layout(Plan plan, List<String> names) {
        Optional<Binding> old =
                bindings.stream().filter(kept -> kept.names.equals(names)).findFirst();
        if (old.isPresent()) {
            bindings.remove(old.get());
            binding = Binding.NONE;
        }
        if (driver.isPresent()) return layout(plan, old.map(Binding::layout));
        Driver first = engine.driver(control.first(), guard, zeroes);
        try {
            Driver.Layout layout = first.layout(plan, Optional.empty());
            control.drive(first, guard.reduces());
            driver = Optional.of(first);
            return layout;
        } catch (RuntimeException | Error e) {
            Engine.cleanUp(e, first::free);
            throw e;
        }
    }

    private Driver.Layout layout(Plan plan, Optional<Driver.Layout> old) {
        try {
            return driver.orElseThrow().layout(plan, old);
        } catch (RuntimeException | Error e) {
            old.ifPresent(layout -> Engine.cleanUp(e, layout::free));
            throw e;
        }
    }

    private void use(Binding bound) {
        bindings.push(bound);
        binding = Binding.NONE;
        driver.orElseThrow().use(bound.layout);
        binding = bound;
        if (bindings.size() > MOST_BINDINGS) bindings.removeLast().layout.free();
    }

    /** Says once who shares the count of a group that has stepped. */
    private void tellWhoJoined(Collection<String> joined, Map<String, Integer> groupOf) {
        for (int n = 0; n < parts.length; n++) {
            int group = n;
            List<String> names =
                    joined.stream().filter(name -> groupOf.get(name) == group).toList();
            if (names.isEmpty() || control.state(parts[n]).isEmpty()) continue;
            long count = control.count(parts[n]);
            if (count > 0)
                LOG.log(
                        System.Logger.Level.INFO,
                        "{0} join group {1} after its {2} steps, and share its bias correction",
                        told(names),
                        groups.get(n),
                        String.valueOf(count));
        }
    }

    /** The number of the group of each parameter. */
    private Map<String, Integer> groupsOf(Map<String, Tensor> params) {
        Map<String, Integer> groupOf = new HashMap<>();
        boolean[] taken = new boolean[groups.size()];
        params.forEach((name, param) -> {
            checkPlace("params '" + name + "'", param);
            int group = group(name, param);
            groupOf.put(name, group);
            taken[group] = true;
        });
        for (int n = 0; n < taken.length && driver.isEmpty(); n++) {
            if (!taken[n] && !groups.get(n).mayBeEmpty()) throw takesNone(groups.get(n), params, groupOf);
        }
        return groupOf;
    }

    private IllegalArgumentException takesNone(Group group, Map<String, Tensor> params, Map<String, Integer> groupOf) {
        Optional<String> lost = params.keySet().stream()
                .filter(name -> group.takes(name, params.get(name)))
                .findFirst();
        String said = lost.isPresent()
                ? ": group " + groups.get(groupOf.get(lost.get())) + " before it takes '" + lost.get()
                        + "'; the first that fits takes a parameter, so the narrower group goes first"
                : ": takes none of the parameters " + told(params.keySet()) + "; if they come later, say orEmpty()";
        return new IllegalArgumentException("group " + group + said);
    }

    private int group(String name, Tensor param) {
        for (int n = 0; n < parts.length; n++) {
            if (groups.get(n).takes(name, param)) return n;
        }
        throw new IllegalArgumentException("params '" + name + "' of shape " + Arrays.toString(param.shape())
                + ": no group takes it: " + groups + "; add Group.rest(rule) or Group.frozen(name)");
    }

    private void checkNames(Map<String, Tensor> params, Map<String, Tensor> grads, Map<String, Integer> groupOf) {
        List<String> missing = params.keySet().stream()
                .filter(name -> !grads.containsKey(name) && parts[groupOf.get(name)] >= 0)
                .toList();
        List<String> unknown = grads.keySet().stream()
                .filter(name -> !params.containsKey(name))
                .toList();
        if (!missing.isEmpty() || !unknown.isEmpty())
            throw new IllegalArgumentException("grads: expected the names of params"
                    + (missing.isEmpty() ? "" : ", missing " + told(missing))
                    + (unknown.isEmpty() ? "" : ", unknown " + told(unknown)));
    }

    private State newState(int part, Tensor param, List<Tensor> fresh) {
        Rule rule = control.first()[part];
        List<String> names = control.state(part);
        Tensor[] arrays = new Tensor[names.size()];
        for (int n = 0; n < arrays.length; n++) {
            arrays[n] = engine.full(rule.initial(n), rule.shape(n, param.shape()));
            fresh.add(arrays[n]);
        }
        return new State(names, arrays);
    }

    /** State without arrays has no shape, which alone may tell two groups apart. */
    private void checkState(String name, int part, State state) {
        List<String> expected = control.state(part);
        if (!expected.equals(state.names))
            throw new IllegalArgumentException(
                    "params '" + name + "', by its group: expected state " + expected + ", got " + state.names);
    }

    private static void checkMatrix(String name, Tensor param, MatrixRule rule) {
        if (param.shape().length < 2)
            throw new IllegalArgumentException("params '" + name + "' of shape " + Arrays.toString(param.shape()) + ": "
                    + rule.getClass().getSimpleName()
                    + " takes matrices, of two extents or more; give a vector to another group, as"
                    + " Group.vectors(\"*\", AdamW.of()) before this one");
    }

    private void checkPlace(String what, Tensor tensor) {
        if (tensor == null || tensor.engine != engine) { // a map may hold null
            throw new IllegalArgumentException(what + ": expected a tensor of this optimizer's engine, " + engine
                    + ", got " + (tensor == null ? "null" : tensor + ", another engine"));
        }
        if (tensor.isClosed()) throw new IllegalStateException(what + ": " + tensor + " is closed");
    }

    private static void checkShape(String what, long[] expected, Tensor actual) {
        if (!Arrays.equals(expected, actual.shape())) {
            throw new IllegalArgumentException(what + ": expected shape " + Arrays.toString(expected) + ", got "
                    + Arrays.toString(actual.shape()));
        }
    }

    /** Some names for a message, sorted; a map may hold null among them. */
    private static String told(Collection<String> names) {
        List<String> first =
                names.stream().map(String::valueOf).sorted().limit(TOLD).toList();
        return first + (names.size() > TOLD ? " and " + (names.size() - TOLD) + " more" : "");
    }

    /** As in {@code optimizer of ['*'] by [Adam] on CPU (2 threads)}. */
    @Override
    public String toString() {
        return "optimizer of " + groups + " by " + control + " on " + engine;
    }
}
