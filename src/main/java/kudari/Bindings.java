package kudari;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/**
 * The tensors of an optimizer: it checks those of an update, makes state for parameters that are new, and keeps the last few sets of them laid out by the
 * driver, so that one that comes again costs nothing.
 */
final class Bindings {

    private static final System.Logger LOG = System.getLogger(Optimizer.class.getName());

    /** So many names are told in a message; a model may have ten thousand. */
    private static final int TOLD = 8;

    private static final String GOES_ON =
            "state goes on by a group of the same rule, Group.state, Group.master and average, over a parameter of the same type";

    /** Sets of tensors that are kept laid out. */
    private static final int MOST = 8;

    private final Engine engine;
    private final Groups groups;
    private final Control control;
    private final Map<String, State> states = new HashMap<>();

    /** Set before the first update, at which the driver is made. */
    Guard guard = Guard.NONE;

    boolean zeroes;

    /** Who else has gradients of the same step. */
    OtherRanks others = OtherRanks.NONE;

    private Optional<Driver> driver = Optional.empty();

    /** The set of the last update, or none; and those of updates before, the latest first. */
    private Binding binding = Binding.NONE;

    private final Deque<Binding> kept = new ArrayDeque<>();

    /** The engine's {@link Engine#closings} when it was last seen that no tensor of these is closed. */
    private int closings;

    private int generation;

    /** A parameter's state arrays, what they are like, and the parameter's shape. */
    private record State(List<StateArray> like, Tensor[] arrays, long[] param) {}

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

    Bindings(Engine engine, Groups groups, Control control) {
        this.engine = engine;
        this.groups = groups;
        this.control = control;
    }

    /** What is to be done to gradients: a loss scale has steps that overflow left out. */
    Guard guard() {
        return control.lossScale().isPresent() ? guard.skips(true) : guard;
    }

    /** Whether there has been an update. */
    boolean isDriven() {
        return driver.isPresent();
    }

    /** Changes when the state is no longer that of which a graph may have recorded updates. */
    int generation() {
        return generation;
    }

    /** Which parts have a parameter in the set of the last update, be it another rank's. */
    boolean[] active() {
        return others.active(binding.active);
    }

    /** Turns to the tensors of an update. Nothing is allocated where they are those of the last. */
    void turnTo(Map<String, Tensor> params, Map<String, Tensor> grads) {
        if (!binding.isOf(params, grads)) bind(params, grads);
    }

    /** Turns to a single parameter, under the name {@link Optimizer#SINGLE}. */
    void turnTo(Tensor param, Tensor grad) {
        if (!binding.isOf(param, grad)) bind(Map.of(Optimizer.SINGLE, param), Map.of(Optimizer.SINGLE, grad));
    }

    /** Turns to other tensors: to a set of an update before, or to one that it checks, makes state for where that is new, and has laid out. */
    private void bind(Map<String, Tensor> givenParams, Map<String, Tensor> givenGrads) {
        for (Binding before : kept) {
            if (!before.isOf(givenParams, givenGrads)) continue;
            kept.remove(before);
            use(before);
            return;
        }
        Contents params = new Contents(givenParams), grads = new Contents(givenGrads);
        // In order of names, whatever the map's, for sums are taken in this order.
        Map<String, Tensor> param = params.sorted(), grad = grads.sorted();
        if (param.containsKey(null)) throw new IllegalArgumentException("params: a name is null");
        param.forEach((name, tensor) -> checkPlace("params '" + name + "'", tensor));
        // Among ranks, one may have nothing of its own.
        Map<String, Integer> partOf = groups.parts(param, driver.isEmpty() && others == OtherRanks.NONE);
        checkNames(param, grad, partOf);
        param.forEach((name, tensor) -> {
            State known = states.get(name);
            if (known != null && known.arrays.length > 0)
                checkShape("params '" + name + "', whose state has another shape", known.param, tensor);
        });
        Map<String, Types> types = new HashMap<>();
        grad.forEach((name, tensor) -> {
            checkPlace("grads '" + name + "'", tensor);
            checkShape("grads '" + name + "'", param.get(name).shape(), tensor);
            int part = partOf.get(name);
            if (part < 0) return;
            types.put(
                    name,
                    Types.of(name, param.get(name), tensor, control.master(part), control.state(part, tensor.size())));
            Rule rule = control.first()[part];
            if (types.get(name).hasRemainder() && (rule instanceof TensorRule || rule instanceof MatrixRule))
                throw new IllegalArgumentException("params '" + name + "': expected the master FLOAT32, for "
                        + rule.getClass().getSimpleName()
                        + " looks at whole tensors, got a remainder");
        });

        if (engine.recording().isPresent()) engine.checkNotCapturing("the layout of tensors that no update has seen");
        List<String> names =
                param.keySet().stream().filter(name -> partOf.get(name) >= 0).toList();
        Tensor[] p = new Tensor[names.size()], g = new Tensor[names.size()];
        Tensor[][] s = new Tensor[names.size()][];
        int[] of = new int[names.size()];
        Types[] typesOf = new Types[names.size()];
        long[] keys = new long[names.size()];
        boolean[] active = new boolean[control.first().length];
        Map<String, State> joined = new HashMap<>();
        List<Tensor> fresh = new ArrayList<>();
        Binding bound;
        try {
            for (int n = 0; n < of.length; n++) {
                String name = names.get(n);
                p[n] = param.get(name);
                g[n] = grad.get(name);
                of[n] = partOf.get(name);
                if (control.first()[of[n]] instanceof MatrixRule rule) checkMatrix(name, p[n], rule);
                active[of[n]] = true;
                typesOf[n] = types.get(name);
                if (typesOf[n].isRandom())
                    keys[n] = Philox.key(control.master(of[n]).seed(), name);
                State known = states.get(name);
                if (known == null) joined.put(name, known = newState(of[n], p[n], fresh));
                else checkState(name, of[n], p[n], known);
                s[n] = known.arrays;
            }
            Overlap.check(param, grad, !zeroes, List.of(byName(states), byName(joined)));
            Plan plan = new Plan(p, g, s, of, typesOf, keys);
            bound = new Binding(params, grads, names, active, layout(plan, names));
        } catch (RuntimeException | Error e) {
            engine.discard(fresh, e);
            throw e;
        }
        states.putAll(joined);
        use(bound);
        tellWhoJoined(joined.keySet(), partOf);
    }

    private static Map<String, Tensor[]> byName(Map<String, State> states) {
        Map<String, Tensor[]> arrays = new HashMap<>();
        states.forEach((name, state) -> arrays.put(name, state.arrays));
        return arrays;
    }

    /** Lays out a plan, in the place of that of the same names if there is one. */
    private Driver.Layout layout(Plan plan, List<String> names) {
        Optional<Binding> old =
                kept.stream().filter(before -> before.names.equals(names)).findFirst();
        if (old.isPresent()) {
            kept.remove(old.get());
            binding = Binding.NONE;
        }
        if (driver.isPresent()) return layout(plan, old.map(Binding::layout));
        Guard guard = guard();
        Driver first = engine.driver(control.first(), control.averaged(), guard, zeroes, control.lossScale());
        try {
            if (guard.reduces() && others != OtherRanks.NONE) first.join(others);
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
        kept.push(bound);
        binding = Binding.NONE;
        driver.orElseThrow().use(bound.layout);
        binding = bound;
        if (kept.size() > MOST) kept.removeLast().layout.free();
    }

    /** Says once who shares the count of a group that has stepped. */
    private void tellWhoJoined(Collection<String> joined, Map<String, Integer> partOf) {
        for (int n = 0; n < control.first().length; n++) {
            int part = n;
            List<String> names =
                    joined.stream().filter(name -> partOf.get(name) == part).toList();
            if (names.isEmpty() || control.first()[part].state().isEmpty()) continue;
            long count = control.count(part);
            if (count > 0)
                LOG.log(
                        System.Logger.Level.INFO,
                        "{0} join group {1} after its {2} steps, and share its bias correction",
                        told(names),
                        groups.group(part),
                        String.valueOf(count));
        }
    }

    private void checkNames(Map<String, Tensor> params, Map<String, Tensor> grads, Map<String, Integer> partOf) {
        List<String> missing = params.keySet().stream()
                .filter(name -> !grads.containsKey(name) && partOf.get(name) >= 0)
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
        List<StateArray> arrays = control.arrays(part, param);
        Tensor[] tensors = new Tensor[arrays.size()];
        for (int n = 0; n < tensors.length; n++) {
            StateArray array = arrays.get(n);
            fresh.add(tensors[n] = engine.zeros(array.dtype(), array.shape()));
            if (array.isOf(rule)) begin(tensors[n], beginning(rule, array));
            else if (array.dtype() == Dtype.F32) tensors[n].set(param); // a master, an average
        }
        return new State(arrays, tensors, param.shape());
    }

    private void begin(Tensor array, float value) {
        if (value != 0) engine.call(() -> engine.filled(array, to -> to.fill(value)));
    }

    /** With what an array of a rule's is filled at first; in blocks with what {@link Blockwise#write} makes of that. */
    private static float beginning(Rule rule, StateArray array) {
        List<String> own = rule.state();
        int n = own.indexOf(array.name());
        for (int of = 0; of < own.size() && n < 0; of++)
            if (array.name().equals(own.get(of) + StateArray.ABSMAX)) return Math.abs(rule.initial(of));
        float initial = rule.initial(n), inverse = Blockwise.inverse(Math.abs(initial));
        if (array.dtype() != Dtype.U8) return initial;
        return Blockwise.of(rule.compression(n) == Rule.Compression.SIGNED).code(initial * inverse);
    }

    /** State without arrays has no shape, which alone may tell two groups apart. */
    private void checkState(String name, int part, Tensor param, State state) {
        List<StateArray> expected = control.arrays(part, param);
        if (!likes(expected).equals(likes(state.like)))
            throw new IllegalArgumentException("params '" + name + "', by its group: expected state " + likes(expected)
                    + ", got " + likes(state.like) + "; " + GOES_ON);
    }

    /** The names of arrays, and types that are not float32. */
    private static List<String> likes(List<StateArray> arrays) {
        return arrays.stream().map(array -> like(array.name(), array.dtype())).toList();
    }

    private static List<String> likes(Map<String, Dtype> arrays) {
        return arrays.entrySet().stream()
                .map(array -> like(array.getKey(), array.getValue()))
                .toList();
    }

    private static String like(String name, Dtype dtype) {
        return name + (dtype == Dtype.F32 ? "" : " of " + dtype);
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

    /** Forgets what is laid out over memory that is no more, and no longer takes closed tensors for what they were. */
    void forgetClosed() {
        if (closings == engine.closings()) return;
        states.forEach((name, state) -> {
            for (Tensor array : state.arrays)
                if (array.isClosed())
                    throw new IllegalStateException("the state of '" + name
                            + "' has been closed: it is the optimizer's; close the optimizer, or resume with a copy");
        });
        List<Binding> gone = kept.stream().filter(Binding::isGone).toList();
        for (Binding before : gone) {
            kept.remove(before);
            before.layout.free();
        }
        if (gone.contains(binding)) binding = Binding.NONE;
        for (Binding before : kept) {
            before.params.reopen();
            before.grads.reopen();
        }
        closings = engine.closings();
    }

    /** Whether an update has seen the name of a parameter that is not frozen. */
    boolean knows(String name) {
        return states.containsKey(name);
    }

    /**
     * The state arrays of a parameter, by their names.
     *
     * @throws IllegalArgumentException if no update has seen it
     */
    Map<String, Tensor> state(String name) {
        State state = states.get(name);
        if (state == null)
            throw new IllegalArgumentException("'" + name + "': no state; an update has seen " + told(states.keySet()));
        Map<String, Tensor> byName = new LinkedHashMap<>();
        for (int n = 0; n < state.arrays.length; n++)
            byName.put(state.like.get(n).name(), state.arrays[n]);
        return byName;
    }

    /** What of these parameters is to be used, where that is not what trains. */
    List<Evaluation.Use> uses(Map<String, Tensor> params) {
        List<Evaluation.Use> uses = new ArrayList<>();
        Map<String, Tensor> sorted = new Contents(params).sorted();
        if (sorted.containsKey(null)) throw new IllegalArgumentException("params: a name is null");
        sorted.forEach((name, param) -> use(name, param, uses));
        return uses;
    }

    private void use(String name, Tensor param, List<Evaluation.Use> uses) {
        checkPlace("params '" + name + "'", param);
        int part = groups.part(name, param.shape());
        State state = states.get(name);
        if (part < 0 || state == null || state.arrays.length == 0) return;
        checkState(name, part, param, state);
        checkShape("params '" + name + "', whose state has another shape", state.param, param);
        if (control.averaged()[part]) {
            Tensor average = state.arrays[state.arrays.length - 1];
            uses.add(new Evaluation.Use(param, average, Optional.empty(), Map.of()));
            return;
        }
        Rule rule = control.rule(part);
        Map<Tensor, Float> multiples = new LinkedHashMap<>();
        for (int n = 0; n < rule.state().size(); n++)
            if (rule.evaluation(n) != 0) multiples.put(state.arrays[n], rule.evaluation(n));
        if (multiples.isEmpty()) return;
        Map<String, Tensor> arrays = state(name);
        uses.add(new Evaluation.Use(
                param,
                arrays.getOrDefault(Master.MASTER, param),
                Optional.ofNullable(arrays.get(Master.REST)),
                multiples));
    }

    /** Forgets and closes the state there was, copies that of these parameters, and has control go on from the counts. */
    void resume(Counts counts, Map<String, Map<String, Tensor>> saved) {
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
        tensors.forEach((array, tensor) -> checkPlace(what, tensor));
        long[] like = likeParam(name, tensors);
        int part = groups.part(name, like);
        List<StateArray> arrays = part < 0 ? List.of() : control.arrays(part, tensors.keySet(), like);
        Map<String, Dtype> expected = new HashMap<>(), got = new HashMap<>();
        for (StateArray array : arrays) expected.put(array.name(), array.dtype());
        tensors.forEach((array, tensor) -> got.put(array, tensor.dtype()));
        if (!got.equals(expected))
            throw new IllegalArgumentException(
                    what + ": expected " + likes(arrays) + ", got " + told(likes(got)) + "; " + GOES_ON);
        Tensor[] copy = new Tensor[arrays.size()];
        for (int n = 0; n < copy.length; n++) {
            StateArray array = arrays.get(n);
            Tensor tensor = tensors.get(array.name());
            checkShape(what + ", " + array.name(), array.shape(), tensor);
            copy[n] = engine.zeros(tensor.dtype(), tensor.shape());
            fresh.add(copy[n]);
            copy[n].set(tensor);
        }
        return new State(arrays, copy, like);
    }

    /** Frees the driver and closes the state; the parameters stay. */
    void close() {
        unbind();
        driver.ifPresent(Driver::free);
        close(states.values());
    }

    /** The parameter's shape, by some saved state: that of the first rule that has such arrays; or, where none has, that of the largest of them. */
    private long[] likeParam(String name, Map<String, Tensor> tensors) {
        return groups.partsFor(name)
                .filter(part -> tensors.keySet().equals(Set.copyOf(control.names(part, tensors.keySet()))))
                .mapToObj(part -> control.first()[part].like(control.names(part, tensors.keySet()).stream()
                        .map(array -> tensors.get(array).shape())
                        .toList()))
                .findFirst()
                .orElseGet(() -> Collections.max(tensors.values(), Comparator.comparingLong(Tensor::size))
                        .shape());
    }

    private static void close(Collection<State> states) {
        for (State state : states) for (Tensor array : state.arrays) array.close();
    }

    /** Forgets all that is laid out. */
    private void unbind() {
        binding = Binding.NONE;
        while (!kept.isEmpty()) kept.pop().layout.free();
    }

    /** Some names for a message, sorted; a map may hold null among them. */
    static String told(Collection<String> names) {
        List<String> first =
                names.stream().map(String::valueOf).sorted().limit(TOLD).toList();
        return first + (names.size() > TOLD ? " and " + (names.size() - TOLD) + " more" : "");
    }
}
