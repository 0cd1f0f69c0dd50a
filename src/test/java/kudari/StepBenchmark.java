package kudari;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * One optimizer step on the CPU, and beside it what the memory of the machine gives: copy and triad by the same threads over arrays of the same
 * size. {@code scripts/bench} runs it and prints the table.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Fork(
        value = 1,
        jvmArgsAppend = {"-Xms5g", "-Xmx5g"})
public class StepBenchmark {

    /** What is timed: a rule of the table, as {@link Bench} says, or one of the two measures of the memory. */
    @Param({"copy", "triad"})
    String what;

    /** The parameters: so many in one tensor, or a set of tensors. */
    @Param({"1000", "10000", "100000", "1000000", "10000000", "100000000", "148x1024", "gpt2-124M"})
    String params;

    /** Where parameters and gradients of a rule are: in arrays, or in direct buffers; or bfloat16, with a master; or in arrays, with state of 8 bits. */
    @Param({"array"})
    String memory;

    private CpuEngine engine;
    private Workers workers;
    private Runnable step;

    @Setup(Level.Trial)
    public void open() {
        engine = Engine.cpu();
        workers = new Workers(engine.threads());
        if (!List.of("array", "direct", "bf16", "8bit").contains(memory))
            throw new IllegalArgumentException("memory: expected array, direct, bf16 or 8bit, got " + memory);
        Map<String, Tensor> p = tensors(1), g = tensors(2);
        if (what.equals("copy"))
            step = inPieces(p, g, tensors(3), (a, b, c, from, to) -> System.arraycopy(b, from, a, from, to - from));
        else if (what.equals("triad")) step = inPieces(p, g, tensors(3), StepBenchmark::triad);
        else {
            StateFormat state = memory.equals("8bit") ? StateFormat.BLOCKWISE_8BIT : StateFormat.FLOAT32;
            Optimizer optimizer =
                    engine.optimizer(Group.rest(Workload.rule(what)).state(state));
            step = () -> optimizer.update(p, g);
        }
    }

    @TearDown(Level.Trial)
    public void close() {
        workers.close();
        engine.close();
    }

    @Benchmark
    public void step() {
        step.run();
    }

    /** Random numbers, for zeros may be cheaper. */
    private Map<String, Tensor> tensors(long seed) {
        Random random = new Random(seed);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (int size : Workload.sizes(params)) {
            float[] values = new float[size];
            for (int i = 0; i < size; i++) values[i] = random.nextFloat() - 0.5f;
            Tensor tensor = memory.equals("bf16")
                    ? engine.zeros(Dtype.BF16, size)
                    : engine.wrap(memory.equals("direct") ? direct(values) : FloatBuffer.wrap(values));
            if (memory.equals("bf16")) tensor.set(values);
            tensors.put("W" + tensors.size(), tensor);
        }
        return tensors;
    }

    private static FloatBuffer direct(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocateDirect(Float.BYTES * values.length);
        return bytes.order(ByteOrder.nativeOrder()).asFloatBuffer().put(values).flip();
    }

    private interface Piece {
        void run(float[] a, float[] b, float[] c, int from, int to);
    }

    private static void triad(float[] a, float[] b, float[] c, int from, int to) {
        for (int i = from; i < to; i++) a[i] = b[i] + 0.5f * c[i];
    }

    /** Shares a loop over the tensors out as the engine does: pieces of the same size, to as many threads, from the same size. */
    private Runnable inPieces(Map<String, Tensor> a, Map<String, Tensor> b, Map<String, Tensor> c, Piece piece) {
        record Range(float[] a, float[] b, float[] c, int from, int to) {}
        List<Range> ranges = new ArrayList<>();
        long elements = 0;
        for (String name : a.keySet()) {
            float[] array = engine.array(a.get(name));
            elements += array.length;
            for (int from = 0; from < array.length; from += CpuEngine.CHUNK) {
                int to = Math.min(from + CpuEngine.CHUNK, array.length);
                ranges.add(new Range(array, engine.array(b.get(name)), engine.array(c.get(name)), from, to));
            }
        }
        AtomicInteger next = new AtomicInteger();
        Workers.Job loop = thread -> {
            for (int n = next.getAndIncrement(); n < ranges.size(); n = next.getAndIncrement()) {
                Range range = ranges.get(n);
                piece.run(range.a, range.b, range.c, range.from, range.to);
            }
        };
        boolean alone = engine.shares(elements) == 1;
        return () -> {
            next.set(0);
            if (alone) loop.run(0);
            else workers.run(loop);
        };
    }
}
