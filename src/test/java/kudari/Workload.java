package kudari;

import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import kudari.rule.AdamW;
import kudari.rule.FactoredRule;
import kudari.rule.MatrixRule;
import kudari.rule.Muon;
import kudari.rule.Rule;
import kudari.rule.TensorRule;

/**
 * What a benchmark steps: a rule and a set of tensors, by name.
 *
 * @param rule a rule of the table, AdamW, Muon, also by products of bfloat16, or Adam with {@link #CLIPPED} behind it, or one of {@link #MIXED}
 * @param shape the tensors: {@code 1e8} in one, {@code 100x1024} for 100 of 1,024, {@code 2x24x16} for 2 matrices of [24, 16], or a model's
 */
record Workload(String rule, String shape) {

    /** What says that gradients are clipped by their norm, too. */
    static final String CLIPPED = " clipped";

    /** The rules that are timed over every set: the article's six, and how Adam is used most. */
    static final List<String> EVERYWHERE =
            List.of("Adam", "Adam" + CLIPPED, "AdamW", "Sgd", "Momentum", "Nesterov", "AdaGrad", "RmsProp");

    /**
     * Whole steps of training in mixed precision: AdamW over parameters and gradients of a type (float32 if none is said), how their float32 value is kept,
     * whether the gradients are divided by a loss scale that moves, and whether they are clipped.
     */
    static final List<String> MIXED = List.of(
            "AdamW bf16 master",
            "AdamW bf16 remainder",
            "AdamW bf16 stochastic",
            "AdamW bf16 nearest",
            "AdamW bf16 master clipped",
            "AdamW bf16 remainder clipped",
            "AdamW bf16 stochastic clipped",
            "AdamW bf16 nearest clipped",
            "AdamW bf16 master scaled clipped",
            "AdamW fp16 master scaled clipped",
            "AdamW scaled clipped");

    /** All: every other rule of the table follows. */
    static final List<String> RULES = Stream.concat(
                    EVERYWHERE.stream(), RulesTest.TABLE.stream().map(RulesTest.Row::toString))
            .distinct()
            .toList();

    /** The matrices of the layers of GPT-2 124M, [rows, 768]. */
    private static final String GPT2_MATRICES = "gpt2-matrices";

    private static final int GPT2_WIDTH = 768;

    /** The sets of tensors, the most telling first, and one of matrices at the end. */
    static final List<String> SHAPES = List.of(
            "1e8",
            "gpt2-124M",
            "1e6",
            "1000x1024",
            "llama-3.2-1B",
            "1e7",
            "resnet50",
            "1e9",
            "1e4",
            "1000x65536",
            "1e5",
            "100x1024",
            "100x65536",
            "10x1024",
            "10x65536",
            "1x1024",
            "1x65536",
            GPT2_MATRICES);

    /** Enough to see that everything goes through. */
    static final List<String> SMALL = List.of("1e4", "3x257", "1000", "2x24x16");

    /** What is timed over the last set, which is of matrices: what treats them as such, and what it is measured by. */
    static final List<String> OF_MATRICES = List.of("Muon", "Muon bf16", "Adafactor", "AdamW");

    /** Of these sets so many come first, for every contender and in every round. */
    private static final int FIRST = 6;

    /** The places of the sets over which every rule is timed: one that the memory's bandwidth binds, and one of many small tensors. */
    private static final Set<Integer> OF_ALL_RULES = Set.of(0, 3);

    /** The places of the sets over which mixed precision is timed: large ones, for it is there to save memory and its bandwidth. */
    private static final List<Integer> OF_MIXED = List.of(0, 1, 4);

    /** What takes longer than this many parameters is bound by the memory: that it is launched as a graph could not be seen. */
    private static final long MOST_IN_GRAPH = 10_000_000;

    /** Everything to time, in the order in which it is done: what comes last is left out first where time is short. */
    static Set<Workload> all(List<String> all) {
        List<String> shapes = all.subList(0, all.size() - 1);
        String matrices = all.get(all.size() - 1);
        Set<Workload> work = new LinkedHashSet<>();
        for (String shape : shapes.subList(0, Math.min(FIRST, shapes.size()))) work.add(new Workload("Adam", shape));
        for (String rule : EVERYWHERE) work.add(new Workload(rule, shapes.get(0)));
        for (String rule : MIXED) work.add(new Workload(rule, shapes.get(0)));
        for (String rule : RULES) work.add(new Workload(rule, shapes.get(0)));
        for (String rule : OF_MATRICES) work.add(new Workload(rule, matrices));
        for (int n : OF_MIXED) {
            if (n < shapes.size()) for (String rule : MIXED) work.add(new Workload(rule, shapes.get(n)));
        }
        for (String shape : shapes) work.add(new Workload("Adam", shape));
        for (int n = 0; n < shapes.size(); n++) {
            for (String rule : OF_ALL_RULES.contains(n) ? RULES : EVERYWHERE)
                work.add(new Workload(rule, shapes.get(n)));
        }
        return work;
    }

    /** Whether it is timed as a graph, too. */
    boolean inGraph() {
        return parameters() <= MOST_IN_GRAPH && !mixed();
    }

    boolean clips() {
        return rule.endsWith(CLIPPED);
    }

    boolean mixed() {
        return MIXED.contains(rule);
    }

    /** Whether gradients are those of a loss that was multiplied by a scale, which the step moves. */
    boolean scales() {
        return mixed() && rule.contains(" scaled");
    }

    /** The type of parameters and gradients. */
    Dtype dtype() {
        if (!mixed()) return Dtype.F32;
        return rule.contains(" bf16") ? Dtype.BF16 : rule.contains(" fp16") ? Dtype.F16 : Dtype.F32;
    }

    /** How the float32 value of a parameter of 16 bits is kept. */
    Master master() {
        if (mixed() && rule.contains(" remainder")) return Master.REMAINDER;
        if (mixed() && rule.contains(" stochastic")) return Master.stochastic(1);
        return mixed() && rule.contains(" nearest") ? Master.NEAREST : Master.FLOAT32;
    }

    Rule of() {
        if (mixed()) return rule("AdamW");
        return rule(clips() ? rule.substring(0, rule.length() - CLIPPED.length()) : rule);
    }

    int[] sizes() {
        return sizes(shape);
    }

    long parameters() {
        return Arrays.stream(sizes()).asLongStream().sum();
    }

    /** Whether the products of its matrices take the time, and not the memory. */
    boolean multiplies() {
        return of() instanceof MatrixRule;
    }

    /** How many kernels a step is, without products. */
    int kernels() {
        Rule rule = of();
        return 1 + (clips() || scales() || rule instanceof TensorRule ? 1 : 0) + (rule instanceof FactoredRule ? 1 : 0);
    }

    /**
     * The bytes that a step must move for one parameter: p, g and state, and g once more for a norm; for sums of both p once more, too. A rule that gathers
     * reads p and state twice. One that factors reads p and g once for the moments, once for the sums and once for the step; of a vector it has state, too,
     * read thrice and written. One of matrices has a momentum, beside what its products move. A parameter that has a master is written and not read.
     */
    int bytes() {
        int size = dtype().bits() / Byte.SIZE, norm = clips() || scales() ? size : 0;
        if (dtype() != Dtype.F32) {
            int array = Master.type(master().array()).bits() / Byte.SIZE;
            int value = master().array().equals(Master.MASTER)
                    ? size + 2 * array
                    : master().array().isEmpty() ? 2 * size : 2 * (size + array);
            return bytes(of()) - 12 + size + value + norm;
        }
        if (of() instanceof FactoredRule && columns() > 0) return 28;
        return bytes(of()) + norm;
    }

    static int bytes(Rule rule) {
        if (rule instanceof MatrixRule) return 20;
        int arrays = StepSource.of(rule, false, false).arrays(), bytes = 12 + 8 * arrays;
        if (!(rule instanceof TensorRule whole)) return bytes;
        if (rule instanceof FactoredRule) bytes += 16;
        return bytes + (whole.gathers() ? 4 + 4 * arrays : 8);
    }

    /** The bytes that a parameter, its gradient, its state and what is kept of its float32 value take. */
    int memory() {
        int kept = dtype() == Dtype.F32 || master().array().isEmpty()
                ? 0
                : Master.type(master().array()).bits() / Byte.SIZE;
        return 2 * dtype().bits() / Byte.SIZE + kept + 4 * of().state().size();
    }

    /** The columns of each tensor; 0 where they are vectors. */
    private int columns() {
        if (shape.equals(GPT2_MATRICES)) return GPT2_WIDTH;
        String[] parts = shape.split("x");
        return parts.length < 3 ? 0 : Integer.parseInt(parts[2]);
    }

    /** The extents of a tensor of so many elements. */
    long[] extents(int size) {
        return columns() == 0 ? new long[] {size} : new long[] {size / columns(), columns()};
    }

    /** A rule of the table, Muon or AdamW, by name. */
    static Rule rule(String name) {
        if (name.equals("Muon")) return Muon.of(0.001);
        if (name.equals("Muon bf16")) return Muon.of(0.001).precision(MatrixRule.Precision.BFLOAT16);
        if (name.equals("AdamW")) return AdamW.of(0.001);
        return RulesTest.TABLE.stream()
                .filter(row -> row.toString().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no rule " + name))
                .of()
                .apply(0.001);
    }

    /** The sizes of the tensors of a set. */
    static int[] sizes(String shape) {
        switch (shape) {
            case "resnet50":
                return resnet50();
            case "gpt2-124M":
                return gpt2();
            case "llama-3.2-1B":
                return llama();
            case GPT2_MATRICES:
                return Arrays.stream(gpt2())
                        .skip(2)
                        .filter(size -> size >= GPT2_WIDTH * GPT2_WIDTH)
                        .toArray();
            default:
                String[] parts = shape.split("x");
                int[] sizes = new int[parts.length == 1 ? 1 : Integer.parseInt(parts[0])];
                int size = 1;
                for (int n = Math.min(1, parts.length - 1); n < parts.length; n++)
                    size *= (int) Double.parseDouble(parts[n]);
                Arrays.fill(sizes, size);
                return sizes;
        }
    }

    /** ResNet-50: 161 tensors, 25,557,032 parameters. He et al., "Deep residual learning for image recognition", table 1, as torchvision has it. */
    private static int[] resnet50() {
        Sizes sizes = new Sizes();
        sizes.convolution(3, 64, 7);
        int[] blocks = {3, 4, 6, 3};
        int in = 64;
        for (int stage = 0; stage < blocks.length; stage++) {
            int width = 64 << stage, out = 4 * width;
            for (int block = 0; block < blocks[stage]; block++) {
                sizes.convolution(in, width, 1).convolution(width, width, 3).convolution(width, out, 1);
                if (block == 0) sizes.convolution(in, out, 1);
                in = out;
            }
        }
        return sizes.add(in * 1000, 1000).toArray();
    }

    /** GPT-2 124M: 148 tensors, 124,439,808 parameters; the output shares the embedding. */
    private static int[] gpt2() {
        int width = GPT2_WIDTH;
        Sizes sizes = new Sizes().add(50_257 * width, 1024 * width);
        for (int layer = 0; layer < 12; layer++) {
            sizes.add(width, width, width * 3 * width, 3 * width, width * width, width);
            sizes.add(width, width, width * 4 * width, 4 * width, 4 * width * width, width);
        }
        return sizes.add(width, width).toArray();
    }

    /** Llama-3.2-1B: 146 tensors, 1,235,814,400 parameters; grouped queries, and the output shares the embedding. */
    private static int[] llama() {
        int width = 2048, keys = 512, inner = 8192;
        Sizes sizes = new Sizes().add(128_256 * width);
        for (int layer = 0; layer < 16; layer++) {
            sizes.add(width * width, width * keys, width * keys, width * width);
            sizes.add(width * inner, width * inner, inner * width, width, width);
        }
        return sizes.add(width).toArray();
    }

    private static final class Sizes {

        private int[] sizes = {};

        Sizes add(int... more) {
            int[] all = Arrays.copyOf(sizes, sizes.length + more.length);
            System.arraycopy(more, 0, all, sizes.length, more.length);
            sizes = all;
            return this;
        }

        /** A kernel without bias, then scale and shift of its batch normalisation. */
        Sizes convolution(int in, int out, int side) {
            return add(in * out * side * side, out, out);
        }

        int[] toArray() {
            return sizes;
        }
    }

    /** The extents in runs, as in {@code 1x38597376 12x768}, or {@code 12x2304x768} of matrices, for programs in other languages. */
    String runs() {
        StringBuilder text = new StringBuilder();
        int[] sizes = sizes();
        for (int n = 0, run; n < sizes.length; n += run) {
            run = 1;
            while (n + run < sizes.length && sizes[n + run] == sizes[n]) run++;
            text.append(n == 0 ? "" : " ").append(run);
            for (long extent : extents(sizes[n])) text.append('x').append(extent);
        }
        return text.toString();
    }
}
