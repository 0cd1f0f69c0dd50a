package kudari.spark;

import java.io.IOException;
import java.io.Serializable;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import kudari.Collective;
import kudari.Engine;
import kudari.Optimizer;
import kudari.ShardedOptimizer;
import kudari.Tensor;
import kudari.checkpoint.Checkpoint;

/** One of the processes that train together, as its {@link TrainingLoop} sees it. For the thread that runs the loop. */
public final class Rank {

    private final Engine engine;
    private final Collective collective;
    private final Optional<ShardedCheckpoints> checkpoints;
    private final Optional<String> from;
    private final long attempt;
    private final Consumer<Serializable> driver;

    Rank(
            Engine engine,
            Collective collective,
            Optional<ShardedCheckpoints> checkpoints,
            Optional<String> from,
            long attempt,
            Consumer<Serializable> driver) {
        this.engine = engine;
        this.collective = collective;
        this.checkpoints = checkpoints;
        this.from = from;
        this.attempt = attempt;
        this.driver = driver;
    }

    /** The number of this rank, from 0. */
    public int rank() {
        return collective.rank();
    }

    /** The number of ranks. */
    public int size() {
        return collective.size();
    }

    /**
     * The number of this attempt: one more each time that a rank was lost and all began again. From 1, or from where the attempts end that the folder of the
     * checkpoints has had.
     */
    public long attempt() {
        return attempt;
    }

    /**
     * The engine of this rank: the GPU that Spark gave to its task, where it gave one ({@code spark.task.resource.gpu.amount}), else the CPU, on as many
     * threads as the task has processors ({@code spark.task.cpus}). Never another than that.
     */
    public Engine engine() {
        return engine;
    }

    /** What the ranks do together, by the job's {@link Backend}. Sums are in the order of the ranks. */
    public Collective collective() {
        return collective;
    }

    /**
     * Saves the run as it stands after this step: every rank writes its part, and once all parts are there, rank 0 says so. All ranks call it after the same
     * step. The two newest checkpoints are kept.
     *
     * @param optimizer whose state is the same on all ranks
     * @param params the parameters by name, the same on all ranks
     * @param facts what the run wants to know again, the same on all ranks
     * @throws IllegalStateException if the job has no folder for checkpoints
     * @throws IOException if it cannot be written
     */
    public void save(Optimizer optimizer, Map<String, Tensor> params, Map<String, String> facts) throws IOException {
        save(Checkpoint.of(optimizer, ShardedCheckpoints.shard(params, rank(), size()), facts));
    }

    /**
     * The same of an optimizer whose state lies on the ranks: each writes its own.
     *
     * @throws IllegalStateException if the job has no folder for checkpoints
     * @throws IOException if it cannot be written
     */
    public void save(ShardedOptimizer optimizer, Map<String, Tensor> params, Map<String, String> facts)
            throws IOException {
        SortedMap<String, Tensor> mine = optimizer.shard(params);
        if (rank() == 0) {
            SortedMap<String, Tensor> nobodys = new TreeMap<>(params);
            nobodys.keySet().removeAll(optimizer.owners(params).keySet()); // frozen
            mine.putAll(nobodys);
        }
        Checkpoint own = Checkpoint.of(optimizer.own(), mine, facts);
        save(new Checkpoint(optimizer.counts(), own.rule(), own.facts(), own.tensors()));
    }

    private void save(Checkpoint part) throws IOException {
        ShardedCheckpoints folder = checkpoints.orElseThrow(() -> new IllegalStateException(
                "save: expected a job with a folder for checkpoints, got one without; say TrainingJob.checkpoints"));
        long step = part.steps() + part.skipped();
        folder.write(attempt, step, rank(), size(), part);
        collective.allGather(); // who comes back from here knows that all parts are there
        if (rank() == 0) folder.commit(attempt, step, size());
    }

    /**
     * Puts the run where its newest checkpoint stood, whatever number of ranks wrote it. The parameters and the state are the same to the last bit; what
     * follows is that of a run that was never stopped if the number of ranks is the same, too, for sums are taken in the order of the ranks.
     *
     * @param optimizer of the same kinds of rules in as many groups
     * @param params the parameters by name, of the same shapes
     * @return the facts that were saved; none if there is no checkpoint, and nothing has changed
     * @throws IOException if it cannot be read, or is damaged
     */
    public Optional<Map<String, String>> restore(Optimizer optimizer, Map<String, Tensor> params) throws IOException {
        if (checkpoints.isEmpty() || from.isEmpty()) return Optional.empty();
        Checkpoint saved = checkpoints.get().read(from.get());
        saved.restore(optimizer, params);
        return Optional.of(new TreeMap<>(saved.facts()));
    }

    /**
     * The same of an optimizer whose state lies on the ranks, whoever wrote it.
     *
     * @return the facts that were saved; none if there is no checkpoint, and nothing has changed
     * @throws IOException if it cannot be read, or is damaged
     */
    public Optional<Map<String, String>> restore(ShardedOptimizer optimizer, Map<String, Tensor> params)
            throws IOException {
        if (checkpoints.isEmpty() || from.isEmpty()) return Optional.empty();
        Checkpoint saved = checkpoints.get().read(from.get());
        SortedMap<String, Tensor> mine = optimizer.shard(params), others = new TreeMap<>(params);
        others.keySet().removeAll(mine.keySet());
        ShardedCheckpoints.check(saved, others); // before anything changes
        ShardedCheckpoints.only(saved, mine.keySet()).restore(optimizer.own(), mine);
        ShardedCheckpoints.restore(saved, others);
        return Optional.of(new TreeMap<>(saved.facts()));
    }

    /**
     * Tells the driver's listener something, as how far the training has come; on a rank that is not 0 it does nothing. Waits until the driver has it.
     *
     * @param report an object that Java can serialize, of a class that the driver has
     * @throws IllegalStateException if the driver cannot be reached
     */
    public void tell(Serializable report) {
        if (rank() == 0) driver.accept(report);
    }

    /** Averages a number over the ranks, added up in their order. */
    public double mean(double own) {
        double sum = 0;
        for (double one : collective.allGather(own)) sum += one;
        return sum / size();
    }

    /** Puts the sum of all ranks' tensors in the place of them; {@code collective().allReduce}. */
    public void sum(Map<String, Tensor> tensors) {
        collective.allReduce(List.copyOf(new TreeMap<>(tensors).values()));
    }

    /** As in {@code rank 1 of 3 on CPU (1 thread)}. */
    @Override
    public String toString() {
        return "rank " + rank() + " of " + size() + " on " + engine;
    }
}
