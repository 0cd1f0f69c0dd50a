package kudari;

import static java.util.Objects.requireNonNull;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongConsumer;
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

    private final Engine engine;
    private final Groups groups;
    private final Control control;
    private final Bindings bindings;
    private boolean closed;

    /** Whether parameters hold what is to be used, and not what trains. */
    private boolean evaluating;

    Optimizer(Engine engine, List<Group> groups) {
        this.engine = engine;
        this.groups = new Groups(groups);
        control = new Control(this.groups.moving());
        bindings = new Bindings(engine, this.groups, control);
    }

    /**
     * Has gradients scaled, clipped and checked before every step.
     *
     * @return this optimizer
     * @throws IllegalStateException if there has been an update, or there is a guard: one says all, as in {@code Guard.clipNorm(1).scale(0.5)}
     */
    public Optimizer guard(Guard guard) {
        checkNew("guard");
        requireNonNull(guard, "guard");
        if (!bindings.guard.equals(Guard.NONE))
            throw new IllegalStateException(
                    "guard: expected one guard, which says all, as Guard.clipNorm(1).scale(0.5) does; got " + guard
                            + " after " + bindings.guard);
        bindings.guard = guard;
        return this;
    }

    /**
     * Has gradients be those of a loss that was multiplied by a scale: they are divided by it before the guard clips, and a step with a gradient that is not
     * finite is left out, whatever the guard says. The optimizer that was given the scale last moves it.
     *
     * @param scale of the same engine, which may serve other optimizers, too; to be closed after this one
     * @return this optimizer
     * @throws IllegalArgumentException if it is another engine's
     * @throws IllegalStateException if there has been an update, there is a loss scale, or it is closed
     */
    public Optimizer lossScale(LossScale scale) {
        checkNew("lossScale");
        requireNonNull(scale, "scale");
        engine.inContext(() -> control.lossScale(engine, scale));
        return this;
    }

    /** The scale of the loss whose gradients it is given; none if it has none. */
    public Optional<LossScale> lossScale() {
        return control.lossScale();
    }

    /** Has the guard see the gradients of other ranks, too, which have parameters of their own. */
    Optimizer join(OtherRanks others) {
        checkNew("join");
        bindings.others = others;
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
        bindings.zeroes = true;
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
        if (groups.all.size() > 1)
            throw new IllegalStateException(
                    "schedule: expected the pattern of a group beside it, got none; there are " + groups);
        schedule(groups.all.get(0).pattern(), schedule);
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
        int part = groups.part(pattern);
        engine.inContext(() -> control.schedule(part, schedule));
    }

    /**
     * One step: changes every parameter in place, against its gradient. Returns at once where the engine works on its own, unless the set
     * of tensors has changed since the last step; reading a tensor waits.
     *
     * @param params the parameters by name
     * @param grads the gradients, under the same names and of the same shapes; those of frozen parameters may be left out
     * @throws IllegalArgumentException if the names or shapes do not match, no group takes a parameter, there is none at the first update or a
     *     group has none then, a vector's group has a rule that takes matrices alone, a tensor is another engine's, or memory overlaps; nothing has
     *     changed then
     * @throws IllegalStateException if the engine is closed, this is not the thread that opened it, or the schedule has no rule of the right kind
     *     for the step; nothing has changed then. Or if a step has failed half done
     * @throws CudaException if the device does not take the step. Where the message says that it is half done, parameters and state have moved and nothing
     *     has counted it: this then refuses more until a checkpoint is restored, by {@link #resume(Counts, Map)}
     */
    public void update(Map<String, Tensor> params, Map<String, Tensor> grads) {
        check();
        engine.enter();
        try {
            begin();
            bindings.turnTo(requireNonNull(params, "params"), requireNonNull(grads, "grads"));
            step();
        } catch (RuntimeException e) {
            throw engine.failed(e);
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
            bindings.turnTo(requireNonNull(param, "param"), requireNonNull(grad, "grad"));
            step();
        } catch (RuntimeException e) {
            throw engine.failed(e);
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
        checkTrains("update");
        control.checkWhole("update");
        control.checkLossScale();
        bindings.forgetClosed();
    }

    private void step() {
        if (engine.recording().isPresent()) {
            record(engine.recording().get());
        } else {
            control.take(bindings.active());
            control.step();
        }
    }

    /** Writes a step down in a graph. */
    private void record(CudaGraph graph) {
        graph.updates(this).add(bindings.active());
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
        checkTrains("launch");
        control.checkWhole("launch");
        control.checkLossScale();
        if (captured.generation != bindings.generation())
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
        return bindings.generation();
    }

    /** The engine that it works on. */
    public Engine engine() {
        return engine;
    }

    /** The groups, in their order. */
    public List<Group> groups() {
        return groups.all;
    }

    /**
     * The rule that a parameter follows: that of the last step, or of step 1 before. Waits as {@link #steps} does.
     *
     * @return none if its group is frozen
     * @throws IllegalArgumentException if no group takes it
     */
    public Optional<Rule> rule(String name, Tensor param) {
        check();
        int part = groups.part(name, param.shape());
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

    /**
     * All that has been counted, as for a checkpoint. Waits as {@link #steps} does.
     *
     * @throws IllegalStateException if a step has failed half done: parameters and state are then those of no count
     */
    public Counts counts() {
        check();
        control.checkWhole("counts");
        return engine.call(control::counts);
    }

    /**
     * The global norm of the scaled gradients of the last update, before clipping, divided by the loss scale; 0 before the first. Waits as {@link
     * #steps} does.
     *
     * @throws IllegalStateException if the guard takes no norm, and there is no loss scale
     */
    public double norm() {
        check();
        if (!bindings.guard().reduces())
            throw new IllegalStateException(
                    "no norm is taken: ask for it by guard(Guard.clipNorm(max)) or skipNonFinite()");
        return engine.call(control::now).norm;
    }

    /**
     * The state of one parameter: the tensors themselves, by the names of {@link #stateArrays}.
     *
     * @throws IllegalArgumentException if no update has seen the name
     */
    public Map<String, Tensor> state(String name) {
        check();
        return bindings.state(name);
    }

    /**
     * What the state arrays of a parameter are like, whether or not an update has seen it: those of {@link Rule#state}, behind them an array {@code _absmax}
     * of each that is {@linkplain StateFormat#BLOCKWISE_8BIT in 8 bits}, then {@code master} or {@code remainder} where it is of 16 bits and its group keeps
     * {@linkplain Master#FLOAT32 its value in float32}, and at last {@code average} or {@code lookahead} where its group has {@link Group#average(double)}
     * or {@link Group#lookahead}.
     *
     * @return none if its group is frozen
     * @throws IllegalArgumentException if no group takes it
     */
    public List<StateArray> stateArrays(String name, Tensor param) {
        check();
        int part = groups.part(name, param.shape());
        return part < 0 ? List.of() : control.arrays(part, param);
    }

    /** Whether an update has seen the name of a parameter that is not frozen. */
    public boolean knows(String name) {
        check();
        return bindings.knows(name);
    }

    /**
     * As {@link #resume(Counts, Map)}, where all groups have taken part in all of so many steps and none was left out; a loss scale stays as it is.
     */
    public void resume(long steps, Map<String, Map<String, Tensor>> saved) {
        check();
        Optional<LossScale.State> scale = control.lossScale().map(LossScale::state);
        resume(new Counts(steps, 0, Collections.nCopies(groups.moving().size(), steps), scale), saved);
    }

    /**
     * Goes on where another run stopped: forgets and closes the state it had, copies that of these parameters and sets the counts.
     * An update that follows computes the same bits as if the other run had never stopped.
     *
     * @param counts as from {@link #counts}
     * @param saved for each parameter its state arrays, as from {@link #state}, on this engine; a parameter without gets them when an update
     *     first sees it
     * @throws IllegalArgumentException if there are more or fewer groups, one of the two has no loss scale, no group takes a name, an array is missing or unknown, or shapes or types differ;
     *     nothing has changed then
     */
    public void resume(Counts counts, Map<String, Map<String, Tensor>> saved) {
        check();
        checkTrains("resume");
        engine.inContext(() -> {
            engine.checkNotCapturing("resuming an optimizer");
            bindings.resume(counts, saved);
        });
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
            bindings.close();
            control.close();
        });
        closed = true;
    }

    /**
     * Puts into parameters what is to be used of them, until the evaluation is closed; then they hold the bits from before:
     *
     * <pre>{@code
     * try (Evaluation using = optimizer.evaluating(params)) {
     *     score = network.score(test);
     * }
     * }</pre>
     *
     * <p>That is what follows them where their group has {@link Group#average(double)} or {@link Group#lookahead}, and otherwise what {@link
     * Rule#evaluation} says: under Schedule-Free the average. Under other rules, and where frozen or never seen by an update, parameters are used as they
     * are. Nothing trains meanwhile: an update, a graph with one, a checkpoint and another evaluation are refused.
     *
     * @param params the parameters by name, all or some
     * @throws IllegalArgumentException if no group takes a parameter, its state has another shape, or it is another engine's; nothing has changed then
     * @throws IllegalStateException if an evaluation is open, or work is being recorded; nothing has changed then
     */
    public Evaluation evaluating(Map<String, Tensor> params) {
        check();
        checkTrains("evaluating");
        return engine.call(() -> {
            engine.checkNotCapturing("an evaluation");
            List<Evaluation.Use> uses = bindings.uses(requireNonNull(params, "params"));
            Evaluation evaluation = new Evaluation(engine, uses, () -> evaluating = false);
            evaluating = true;
            return evaluation;
        });
    }

    /** Whether parameters hold what is to be used, and not what trains: while an evaluation is open. */
    public boolean isEvaluating() {
        return evaluating;
    }

    private void checkTrains(String what) {
        if (evaluating)
            throw new IllegalStateException(
                    what
                            + ": expected parameters that hold what trains, got an open evaluation, in which they hold what is to be used; close it first");
    }

    private void checkNew(String what) {
        check();
        if (bindings.isDriven())
            throw new IllegalStateException(what + ": expected before the first update, got after it");
    }

    private void check() {
        engine.checkOpen();
        if (closed) throw new IllegalStateException("the optimizer is closed");
        if (control.isAsking()) throw new IllegalStateException("a schedule calls the optimizer that asks it");
    }

    /** As in {@code optimizer of ['*'] by [Adam] on CPU (2 threads)}. */
    @Override
    public String toString() {
        return "optimizer of " + groups + " by " + control + " on " + engine;
    }
}
