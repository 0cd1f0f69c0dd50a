package kudari;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * An optimizer whose state lies on several ranks: each steps some of the parameters, keeps the state of those alone, and sends what they have become to
 * the others. A step sends no more than the sum of all gradients on all ranks does, and its bits are the same, with clipping by the global norm, too.
 *
 * <pre>{@code
 * ShardedOptimizer adam = new ShardedOptimizer(engine, collective, Group.rest(Adam.of())).guard(Guard.clipNorm(1).scale(1.0 / collective.size()));
 * net.gradient(samples, batches.next(), 32);      // each rank its own samples
 * adam.update(net.params(), net.grads());         // sums, steps, and hands round
 * }</pre>
 *
 * <p>A parameter is one rank's as a whole, as in PyTorch's {@code ZeroRedundancyOptimizer}: the largest first, each to the rank that has least. So rules
 * that look at whole tensors work as they do alone; and where one parameter is larger than a rank's fair share, its rank has more than others.
 *
 * <p>Source: S. Rajbhandari, J. Rasley, O. Ruwase and Y. He, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020,
 * arXiv:1910.02054, stage 1 (P<sub>os</sub>). It cuts the vector of all parameters into equal parts.
 */
public final class ShardedOptimizer implements AutoCloseable {

    private final Collective collective;
    private final Groups groups;
    private final Optimizer own;

    /** What the last update was of. */
    private Contents params = new Contents(Map.of()), grads = new Contents(Map.of());

    private boolean laidOut;

    /** By rank, and in each by name: the tensors that are handed round, and those of them that are this rank's. */
    private List<Tensor> allParams = List.of(), allGrads = List.of();

    private Map<String, Tensor> ownParams = Map.of(), ownGrads = Map.of();
    private List<Tensor> paramShard = List.of(), gradShard = List.of();
    private long[] cuts = {};

    /** Of the parameters that have been given to ranks, to which, and how many elements each has of them. Their state is there, so they stay. */
    private final Map<String, Integer> given = new TreeMap<>();

    private final long[] elements;

    /** Which groups have a parameter in the last update, be it another rank's; nothing before the first. */
    private boolean[] active = {};

    /** For each piece of all gradients, in the order of all names, where it is among those that ranks send. */
    private int[] pieces = {};

    /**
     * An optimizer of groups: a parameter follows the first that takes it.
     *
     * @param engine of this rank
     * @param collective of all ranks, on each of which there is one of these, with the same groups
     * @throws IllegalArgumentException as {@link Engine#optimizer(Group...)}
     */
    public ShardedOptimizer(Engine engine, Collective collective, Group... groups) {
        this.collective = collective;
        this.groups = new Groups(List.of(groups));
        elements = new long[collective.size()];
        // A rank may have no parameter of a group, or none at all.
        own = engine.optimizer(Arrays.stream(groups).map(Group::orEmpty).toArray(Group[]::new));
        if (collective.size() > 1)
            own.join(new OtherRanks() {
                @Override
                public double[] partials(double[] partials) {
                    return inOrderOfNames(collective.allGather(partials));
                }

                @Override
                public boolean any(boolean own) {
                    return Arrays.stream(collective.allGather(own ? 1 : 0)).anyMatch(one -> one > 0);
                }

                @Override
                public boolean[] active(boolean[] own) {
                    return active.length == 0 ? own : active;
                }
            });
    }

    /**
     * As {@link Optimizer#guard}; norms are those over all ranks' sums. Where it takes one, or checks for what is not finite, every step waits for all ranks.
     *
     * @return this optimizer
     * @throws IllegalStateException if there has been an update
     */
    public ShardedOptimizer guard(Guard guard) {
        own.guard(guard);
        return this;
    }

    /**
     * As {@link Optimizer#lossScale}: of this rank's engine, on each rank one of the same {@link LossScaling}. They move alike, for what is not finite on one
     * rank is left out on all.
     *
     * @return this optimizer
     */
    public ShardedOptimizer lossScale(LossScale scale) {
        own.lossScale(scale);
        return this;
    }

    /**
     * One step: adds up the gradients of all ranks in their order, steps every parameter on its rank, and has all of them on all ranks. All ranks call it,
     * with parameters of the same names, shapes and values. As in {@link Optimizer}, a parameter may come at any time, and be left out. On a device it cannot be
     * recorded in a graph.
     *
     * @param params the parameters by name
     * @param grads this rank's gradients. Of the parameters of this rank they are the sum afterwards; the others stay as they are
     * @throws IllegalArgumentException as {@link Optimizer#update(Map, Map)}
     * @throws IllegalStateException as {@link Optimizer#update(Map, Map)}, or if another rank does not come; parameters may then hold anything
     */
    public void update(Map<String, Tensor> params, Map<String, Tensor> grads) {
        if (!laidOut || !this.params.isStill(params) || !this.grads.isStill(grads)) layOut(params, grads);
        collective.reduceScatter(allGrads, cuts, gradShard);
        own.update(ownParams, ownGrads);
        collective.allGather(paramShard, cuts, allParams);
    }

    private void layOut(Map<String, Tensor> params, Map<String, Tensor> grads) {
        SortedMap<String, Integer> owners = owners(params);
        List<Tensor> allParams = new ArrayList<>(), allGrads = new ArrayList<>();
        SortedMap<String, Tensor> ownParams = new TreeMap<>(), ownGrads = new TreeMap<>();
        Map<String, Integer> firsts = new TreeMap<>();
        int count = 0;
        for (String name : byRank(owners)) {
            Tensor param = params.get(name), grad = grads.get(name);
            if (grad == null || grad.size() != param.size())
                throw new IllegalArgumentException("grads '" + name + "': expected a tensor of " + param.size()
                        + " elements, as the parameter has, got " + (grad == null ? "none" : grad));
            allParams.add(param);
            allGrads.add(grad);
            if (owners.get(name) == collective.rank()) {
                ownParams.put(name, param);
                ownGrads.put(name, grad);
            }
            firsts.put(name, count);
            count += pieces(param);
        }
        int[] pieces = new int[count];
        int n = 0;
        for (Map.Entry<String, Integer> first : firsts.entrySet()) {
            for (int piece = 0; piece < pieces(params.get(first.getKey())); piece++)
                pieces[n++] = first.getValue() + piece;
        }
        give(owners, params);
        active = new boolean[groups.moving().size()];
        for (String name : owners.keySet())
            active[groups.part(name, params.get(name).shape())] = true;
        this.params = new Contents(params);
        this.grads = new Contents(grads);
        this.allParams = allParams;
        this.allGrads = allGrads;
        this.ownParams = Collections.unmodifiableMap(ownParams);
        this.ownGrads = Collections.unmodifiableMap(ownGrads);
        this.paramShard = List.copyOf(ownParams.values());
        this.gradShard = List.copyOf(ownGrads.values());
        this.cuts = cuts(owners, params);
        this.pieces = pieces;
        laidOut = true;
    }

    /** The names by rank, and in each in their order. */
    private static List<String> byRank(SortedMap<String, Integer> owners) {
        return owners.keySet().stream()
                .sorted(Comparator.comparing(owners::get))
                .toList();
    }

    /** Where the elements of each rank begin when all parameters stand by rank, and where the last one's end. */
    private long[] cuts(SortedMap<String, Integer> owners, Map<String, Tensor> params) {
        long[] cuts = new long[collective.size() + 1];
        owners.forEach((name, rank) -> cuts[rank + 1] += params.get(name).size());
        for (int rank = 0; rank < collective.size(); rank++) cuts[rank + 1] += cuts[rank];
        return cuts;
    }

    private static int pieces(Tensor tensor) {
        return (int) ((tensor.size() + Reduce.PIECE - 1) / Reduce.PIECE);
    }

    private double[] inOrderOfNames(double[] byRank) {
        double[] partials = new double[pieces.length];
        for (int n = 0; n < partials.length; n++) partials[n] = byRank[pieces[n]];
        return partials;
    }

    /**
     * The rank of each parameter that is not frozen: the largest first, of two the one whose name comes first, to the rank with the fewest elements, of
     * two the lower. A parameter that an update or {@link #shard} has given to a rank stays there with its state, whatever others come or are left out.
     *
     * @param params the parameters by name
     * @throws IllegalArgumentException if no group takes a parameter
     */
    public SortedMap<String, Integer> owners(Map<String, Tensor> params) {
        List<String> names = new ArrayList<>(new TreeMap<>(params).keySet());
        names.removeIf(name -> groups.part(name, params.get(name).shape()) < 0);
        names.sort(Comparator.comparingLong(name -> -params.get(name).size())); // keeps the order of equals
        long[] elements = this.elements.clone();
        SortedMap<String, Integer> owners = new TreeMap<>();
        for (String name : names) {
            Integer owner = given.get(name);
            if (owner == null) {
                owner = 0;
                for (int rank = 1; rank < elements.length; rank++) if (elements[rank] < elements[owner]) owner = rank;
                elements[owner] += params.get(name).size();
            }
            owners.put(name, owner);
        }
        return owners;
    }

    private void give(SortedMap<String, Integer> owners, Map<String, Tensor> params) {
        owners.forEach((name, rank) -> {
            if (given.putIfAbsent(name, rank) == null)
                elements[rank] += params.get(name).size();
        });
    }

    /**
     * The parameters of this rank, whose they are from here on, as after an update: a checkpoint may then be restored into {@link #own}. All ranks call it,
     * with the same parameters.
     */
    public SortedMap<String, Tensor> shard(Map<String, Tensor> params) {
        SortedMap<String, Integer> owners = owners(params);
        give(owners, params);
        SortedMap<String, Tensor> shard = new TreeMap<>();
        owners.forEach((name, rank) -> {
            if (rank == collective.rank()) shard.put(name, params.get(name));
        });
        return shard;
    }

    /**
     * Does something with the parameters as they are to be used, on all ranks, and has them as they were afterwards: {@link Optimizer#evaluating} over
     * all ranks, each of which calls it.
     *
     * @param params the parameters by name
     * @param body what is done; it may differ from rank to rank
     */
    public void evaluating(Map<String, Tensor> params, Runnable body) {
        SortedMap<String, Integer> owners = owners(params);
        List<Tensor> all = byRank(owners).stream().map(params::get).toList();
        long[] cuts = cuts(owners, params);
        SortedMap<String, Tensor> shard = shard(params);
        Evaluation using = own.evaluating(shard);
        try {
            collective.allGather(List.copyOf(shard.values()), cuts, all);
            body.run();
        } finally {
            using.close();
        }
        collective.allGather(List.copyOf(shard.values()), cuts, all);
    }

    /** The optimizer of this rank's parameters, for their state, their rules and the norm; who steps it or closes it, breaks this one. */
    public Optimizer own() {
        return own;
    }

    /** What all ranks have counted: a group counts the steps of the rank that has parameters of it. All ranks call it. */
    public Counts counts() {
        Counts mine = own.counts();
        int groups = mine.groups().size();
        double[] all = collective.allGather(
                mine.groups().stream().mapToDouble(Long::doubleValue).toArray()); // up to 2^53, exact
        List<Long> most = new ArrayList<>(mine.groups());
        for (int n = 0; n < all.length; n++) most.set(n % groups, Math.max(most.get(n % groups), (long) all[n]));
        return new Counts(mine.steps(), mine.skipped(), most, mine.lossScale());
    }

    /** Gives back the state of this rank's parameters; the parameters stay. */
    @Override
    public void close() {
        own.close();
    }
}
