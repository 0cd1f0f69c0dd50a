package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongConsumer;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;

/**
 * What an optimizer's steps are told, and what they count.
 *
 * <p>Where steps may be left out, only the driver knows how many were done, and nobody waits to hear. So the scalars of all steps that an update may
 * be are sent ahead, a window of them at a time, into a ring in which each step finds its own by its number. A look at the counts once in a window,
 * one window late, keeps the ring from overflowing. What is asked of a schedule depends on the updates alone, and is the same on every engine.
 */
final class Control {

    /** Steps whose scalars are sent at once, and updates from one look to the next. */
    static final int WINDOW = 64;

    /** Steps whose scalars are kept: at most two windows were asked for since the last look, and one is sent ahead. */
    static final int RING = 4 * WINDOW;

    /** The scalars of a rule itself: what follows is the engine's. */
    static final int OWN = Rule.SCALARS - 3;

    /** Where the scalars of a group say how far its average goes, or 0, and whether its parameters then go there. */
    static final int PULL = OWN, BACK = OWN + 1;

    /** Where the scalars of a group have the power of two to which a driver flushes the parameters after the step, or 0. */
    static final int FLOOR = Rule.SCALARS - 1;

    /**
     * To what parameters under decay are flushed, once in a window: those of dead units decay for ever, and where they, or what is taken of them,
     * become subnormal, every step would cost a hundred times as much. It leaves multiples of 2⁻⁹⁴, of which a decay of 2⁻³² a step is no subnormal.
     */
    private static final float FLUSHED_TO = 0x1p-70f;

    private static final long NEVER = Long.MAX_VALUE;

    /** A group that is not frozen: its schedule, what its state is, and in how many steps it has taken part. */
    private static final class Part {
        Schedule schedule;

        /** The schedule before that one, and the last step that followed it. */
        Schedule before;

        long changed = -1;

        final Class<? extends Rule> kind;
        final Average average;

        final Master master;

        final StateFormat state;

        /** The names of the rule's arrays. */
        final List<String> own;

        /** The rule of step 1, and the one last found to be of its kind. */
        final Rule first;

        Rule last;

        /** Whether it takes part in the steps; it has from step {@code since} on, and had in {@code counted} steps before. */
        boolean active;

        long since, counted;

        Part(Group group) {
            schedule = group.schedule().orElseThrow();
            average = group.average();
            last = first = RuleCheck.checked(rule(schedule, 1));
            kind = first.getClass();
            own = List.copyOf(first.state());
            master = group.master();
            state = group.state();
            for (String name : own)
                if (Set.of(average.name(), Master.MASTER, Master.REST).contains(name)
                        || own.contains(name + StateArray.ABSMAX))
                    throw new IllegalArgumentException("group " + group + ": state(): expected no array '"
                            + (own.contains(name + StateArray.ABSMAX) ? name + StateArray.ABSMAX : name)
                            + "', which is the group's, got " + own);
            if (!state.fits(first))
                throw new IllegalArgumentException("group " + group + ": expected the state in FLOAT32, for "
                        + kind.getSimpleName() + " has no array that takes fewer bits, got " + state
                        + "; leave Group.state out, or take Adam, AdamW, Lion, Momentum, Nesterov or a rule of your own whose"
                        + " Rule.compression says so");
        }

        /**
         * The names of all arrays: the rule's, the largest magnitudes of those in 8 bits, a master's and an average's.
         *
         * @param kept whether there is what the group keeps of a parameter of 16 bits, if anything
         */
        List<String> names(boolean kept, StateFormat state) {
            List<String> names = new ArrayList<>(own);
            for (int n = 0; n < own.size(); n++)
                if (dtype(n, state) == Dtype.U8) names.add(own.get(n) + StateArray.ABSMAX);
            if (kept && !master.array().isEmpty()) names.add(master.array());
            if (average.isKept()) names.add(average.name());
            return names;
        }

        /** All arrays of a parameter of some shape. */
        List<StateArray> arrays(boolean kept, StateFormat state, long[] param) {
            List<StateArray> arrays = new ArrayList<>();
            for (String name : names(kept, state)) {
                int n = arrays.size();
                if (n < own.size()) arrays.add(new StateArray(name, dtype(n, state), first.shape(n, param)));
                else if (name.endsWith(StateArray.ABSMAX))
                    arrays.add(new StateArray(name, Dtype.F32, new long[] {Blockwise.blocks(Tensor.size(param))}));
                else arrays.add(new StateArray(name, Master.type(name), param));
            }
            return arrays;
        }

        private Dtype dtype(int array, StateFormat state) {
            return state.dtype(first.compression(array));
        }

        static Rule rule(Schedule schedule, long t) {
            Rule rule;
            try {
                rule = schedule.rule(t);
            } catch (RuntimeException e) {
                throw new IllegalStateException("the schedule gives no rule for step " + t + ": " + e.getMessage(), e);
            }
            if (rule == null) throw new IllegalStateException("the schedule gives null for step " + t);
            return rule;
        }

        Rule rule(long t) {
            Rule rule = rule(schedule, t);
            if (rule == last) return rule;
            if (rule.getClass() != kind || !own.equals(rule.state())) {
                throw new IllegalStateException("the schedule gives " + rule + " for step " + t
                        + ", but the state is that of " + kind.getSimpleName() + ", " + own);
            }
            if (rule instanceof MatrixRule matrix && !((MatrixRule) first).mayBecome(matrix))
                throw new IllegalStateException("the schedule gives " + rule + " for step " + t
                        + ", which makes matrices orthogonal in another way than " + first);
            last = RuleCheck.checked(rule);
            return rule;
        }

        /** The number of steps in which it has taken part when so many have been done. */
        long count(long done) {
            return counted + (active ? done - since : 0);
        }
    }

    private final Part[] parts;
    private final float[] one = new float[Rule.SCALARS], window;
    private boolean skips, asking;

    /** Null before the first update, when only a resumed optimizer has counted anything. */
    private Driver driver;

    private final Driver.Tally before = new Driver.Tally();
    private Optional<LossScale> lossScale = Optional.empty();
    private LongConsumer onSkip = skipped -> {};

    /** Steps left out, as far as is known, and as far as the listener knows. */
    private long skipped, told;

    /** Updates so far; how many there had been when so many steps were known to be done; and when the look under way was asked for, or −1. */
    private long asked, knownAsked, known, looked = -1;

    /** The last step whose scalars are sent, and the step for which the schedule has thrown, and what. */
    private long sent, failing = NEVER;

    private RuntimeException failure;

    /** Of groups that are not frozen. */
    Control(List<Group> groups) {
        parts = groups.stream().map(Part::new).toArray(Part[]::new);
        window = new float[WINDOW * parts.length * Rule.SCALARS];
        failure = new IllegalStateException();
    }

    /** Whether a schedule is being asked right now. */
    boolean isAsking() {
        return asking;
    }

    /** The rules of step 1: of each part one of its kind. */
    Rule[] first() {
        return Arrays.stream(parts).map(part -> part.first).toArray(Rule[]::new);
    }

    /** Of each part whether its parameters are followed by an average. */
    boolean[] averaged() {
        boolean[] averaged = new boolean[parts.length];
        for (int n = 0; n < parts.length; n++) averaged[n] = parts[n].average.isKept();
        return averaged;
    }

    /** How a part keeps the float32 values of its parameters of 16 bits. */
    Master master(int part) {
        return parts[part].master;
    }

    /** In what a part keeps the state of a parameter of so many elements. */
    StateFormat state(int part, long elements) {
        return parts[part].state.of(elements);
    }

    /** The state arrays of a parameter of a part. */
    List<StateArray> arrays(int part, Tensor param) {
        return parts[part].arrays(param.dtype().is16(), state(part, param.size()), param.shape());
    }

    /** Those of a parameter of a shape of which arrays of some names were saved. */
    List<StateArray> arrays(int part, Set<String> saved, long[] param) {
        return parts[part].arrays(saved.contains(parts[part].master.array()), state(part, Tensor.size(param)), param);
    }

    /** Their names, whatever the shape. */
    List<String> names(int part, Set<String> saved) {
        return parts[part].names(saved.contains(parts[part].master.array()), saved(part, saved));
    }

    /** The format of what was saved: where there are no blocks, the parameter had few elements. */
    private StateFormat saved(int part, Set<String> saved) {
        StateFormat state = parts[part].state;
        boolean blocks = parts[part].own.stream().anyMatch(name -> saved.contains(name + StateArray.ABSMAX));
        return state == StateFormat.BLOCKWISE_8BIT && !blocks ? StateFormat.FLOAT32 : state;
    }

    /** The rule that the last step followed; that of step 1 before. */
    Rule rule(int part) {
        Part of = parts[part];
        long done = settle();
        return done > 0 && done == of.changed ? Part.rule(of.before, done) : of.rule(Math.max(1, done));
    }

    /** The most updates of one optimizer in a graph: what the ring has room for. */
    static final int MOST_CAPTURED = RING - WINDOW;

    /** Gives the steps to a driver. */
    void drive(Driver driver, boolean skips) {
        if (before.done > 0 || before.skipped > 0) driver.count(before.done, before.skipped);
        lossScale.ifPresent(scale -> scale.drive(this, driver));
        this.driver = driver;
        this.skips = skips;
    }

    /** What does the steps; none before the first update. */
    Optional<Driver> driver() {
        return Optional.ofNullable(driver);
    }

    /** Has the loss be multiplied by a scale, that steps divide by and move. */
    void lossScale(Engine engine, LossScale scale) {
        if (lossScale.isPresent())
            throw new IllegalStateException("lossScale: expected one loss scale for an optimizer, got a second");
        scale.join(engine, this);
        lossScale = Optional.of(scale);
    }

    Optional<LossScale> lossScale() {
        return lossScale;
    }

    /** Throws if the loss scale is closed. */
    void checkLossScale() {
        if (lossScale.isPresent()) lossScale.get().checkOpen();
    }

    /** There are no more steps. */
    void close() {
        lossScale.ifPresent(scale -> scale.leave(this));
    }

    void onSkip(LongConsumer listener) {
        onSkip = listener;
    }

    /**
     * Goes on with the groups that take part in the steps to come.
     *
     * @param active which do
     */
    void take(boolean[] active) {
        boolean same = true;
        for (int n = 0; n < parts.length; n++) same &= active[n] == parts[n].active;
        if (same) return;
        long done = settle();
        for (int n = 0; n < parts.length; n++) {
            Part part = parts[n];
            part.counted = part.count(done);
            part.since = done;
            part.active = active[n];
        }
        sendFrom(done);
    }

    /** Another schedule for the steps to come. */
    void schedule(int part, Schedule schedule) {
        Part of = parts[part];
        long done = settle();
        sendFrom(done);
        if (done != of.changed) of.before = of.schedule;
        of.changed = done;
        of.schedule = schedule;
    }

    /**
     * Checks that no step has failed when a part of it was done: what the others had been is lost then.
     *
     * @param what is asked for
     */
    void checkWhole(String what) {
        if (driver != null && driver.isTorn)
            throw new IllegalStateException(
                    what
                            + ": expected parameters and state after a whole step, got an optimizer whose last step failed half done; restore a checkpoint");
    }

    void step() {
        prepare(1);
        driver.step();
        asked++;
    }

    /** Sees to it that so many steps find their scalars. */
    void prepare(int steps) {
        long last = known + (asked - knownAsked) + steps; // the last step that these may be
        if (skips && last - known > MOST_CAPTURED) last = settle() + steps;
        while (sent < last) {
            if (sent + 1 == failing) {
                last = settle() + steps;
                if (failing <= last) throw failure;
            } else {
                send();
            }
        }
    }

    /** Has a step recorded, which is none until its graph is launched. */
    void record() {
        driver.step();
    }

    /** Counts the updates of a graph that has been launched. */
    void launched(int updates) {
        asked += updates;
    }

    /** Sends the scalars of the next steps, up to the end of their window or to one for which the schedule throws. */
    private void send() {
        long first = sent + 1;
        int steps = (int) (WINDOW - first % WINDOW), n = 0;
        asking = true;
        try {
            for (; n < steps; n++) scalars(first + n, n * parts.length);
        } catch (RuntimeException e) {
            failing = first + n;
            failure = e;
        } finally {
            asking = false;
        }
        if (n > 0) driver.send(first, n, window);
        sent += n;
    }

    private void scalars(long t, int row) {
        for (int n = 0; n < parts.length; n++) {
            if (!parts[n].active) continue;
            Rule rule = parts[n].rule(t);
            Arrays.fill(one, 0);
            long step = parts[n].count(t);
            try {
                rule.at(step, one);
            } catch (RuntimeException e) {
                throw RuleCheck.failed(rule, "at(" + step + ", k), where k[0] to k[" + (OWN - 1) + "] are its own", e);
            }
            for (int own = OWN; own < Rule.SCALARS; own++)
                if (one[own] != 0)
                    throw new IllegalStateException(RuleCheck.name(rule) + ".at(" + step + ", k): expected k[" + own
                            + "], which is the engine's, left alone, got " + one[own]);
            one[PULL] = parts[n].average.pull(step);
            one[BACK] = parts[n].average.back() ? 1 : 0;
            boolean decays = rule.lr() > 0 && (rule.l2() > 0 || rule.decay() > 0);
            one[FLOOR] = decays && t % WINDOW == 0 ? FLUSHED_TO : 0;
            System.arraycopy(one, 0, window, (row + n) * Rule.SCALARS, Rule.SCALARS);
        }
    }

    private void sendFrom(long done) {
        sent = done;
        failing = NEVER;
    }

    /** Before an update: hears of the counts once in a window and asks for them again; and tells of steps left out, however that became known. */
    void hear() {
        if (!skips) return;
        if (asked - Math.max(looked, knownAsked) >= WINDOW) {
            if (looked >= 0) learn(driver.heard(), looked);
            driver.ask();
            looked = asked;
        }
        if (skipped == told) return;
        told = skipped;
        onSkip.accept(skipped);
    }

    private void learn(Driver.Tally tally, long at) {
        if (tally.outran > 0)
            throw new IllegalStateException(
                    tally.outran
                            + " steps found no scalars of theirs and did nothing; this is a fault of the library, please report it");
        skipped = tally.skipped;
        learn(tally.done, at);
    }

    private void learn(long done, long at) {
        known = done;
        knownAsked = at;
        looked = -1;
    }

    /** The number of steps done. Waits where steps may be left out, for then only the driver knows. */
    long settle() {
        if (skips) now();
        else learn(known + asked - knownAsked, asked);
        return known;
    }

    /** What has been counted of all that was asked for. Waits. */
    Driver.Tally now() {
        if (driver == null) return before;
        driver.ask();
        Driver.Tally tally = driver.heard();
        learn(tally, asked);
        return tally;
    }

    Counts counts() {
        long done = settle();
        List<Long> groups = new ArrayList<>();
        for (Part part : parts) groups.add(part.count(done));
        return new Counts(done, now().skipped, groups, lossScale.map(LossScale::state));
    }

    /** In how many steps a part has taken part. */
    long count(int part) {
        return parts[part].count(settle());
    }

    void resume(Counts counts) {
        if (counts.groups().size() != parts.length)
            throw new IllegalArgumentException("groups: expected the counts of " + parts.length
                    + (parts.length == 1 ? " group that is" : " groups that are") + " not frozen, got those of "
                    + counts.groups().size());
        if (counts.lossScale().isEmpty() && lossScale.isPresent())
            throw new IllegalArgumentException(
                    "lossScale: expected what the optimizer's loss scale goes on from, got"
                            + " the counts of a run that had none; give counts.lossScale(scale.state()) for it to stay as it is");
        if (counts.lossScale().isPresent() && lossScale.isEmpty())
            throw new IllegalArgumentException("lossScale: expected none, for the optimizer has no loss scale, got "
                    + counts.lossScale().get() + "; give it one by lossScale before");
        checkLossScale();
        settle();
        before.set(counts.steps(), counts.skipped(), 0, 0);
        if (driver != null) {
            driver.count(counts.steps(), counts.skipped());
            driver.isTorn = false;
        }
        learn(counts.steps(), asked);
        skipped = told = counts.skipped();
        for (int n = 0; n < parts.length; n++) {
            parts[n].counted = counts.groups().get(n);
            parts[n].since = counts.steps();
            parts[n].changed = -1;
        }
        sendFrom(counts.steps());
        lossScale.ifPresent(scale -> scale.resume(counts.lossScale().orElseThrow()));
    }

    @Override
    public String toString() {
        return Arrays.stream(parts)
                .map(part -> part.kind.getSimpleName())
                .toList()
                .toString();
    }
}
