package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.jna.NativeLibrary;
import java.io.File;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import kudari.Collective;
import kudari.Dtype;
import kudari.Engine;
import kudari.Group;
import kudari.Guard;
import kudari.QueueCollective;
import kudari.ShardedOptimizer;
import kudari.Tensor;
import kudari.rule.Adam;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks that are threads, each with a GPU in software; NCCL is softnccl, and not NVIDIA's. */
@EnabledOnOs(value = OS.LINUX, architectures = "amd64")
@Timeout(60)
class NcclCollectiveTest {

    private static final String SOFT = "libnccl.so.2";
    private static final Duration PATIENT = Duration.ofSeconds(30), SHORT = Duration.ofMillis(600);

    /** So many elements are added up at a time. */
    private static final long CHUNK = 50;

    /** What a rank does; the other collective is of the same ranks by way of the host. */
    interface Body {
        void run(Engine engine, Collective nccl, Collective host) throws Exception;
    }

    private Duration timeout = PATIENT;
    private String file = SOFT;
    private boolean oneDevice, onCpu;
    private final AtomicBoolean isToEnd = new AtomicBoolean();

    /** What softnccl is to do wrong. */
    private static void soft(String command) {
        NativeLibrary.getInstance(SOFT).getFunction("softnccl").invokeVoid(new Object[] {command});
    }

    @AfterEach
    void nothingIsWrongAnyMore() {
        soft("");
    }

    /** What each rank failed with; null where it did not. */
    private Throwable[] run(int size, Body body) throws InterruptedException {
        List<QueueCollective> hosts = QueueCollective.ofAll(size, 30);
        ExecutorService threads = Executors.newFixedThreadPool(size);
        List<Future<?>> ranks = new ArrayList<>();
        for (int r = 0; r < size; r++) {
            Collective host = hosts.get(r);
            int device = oneDevice ? 0 : r;
            ranks.add(threads.submit(() -> {
                try (Engine engine = onCpu && device == 1 ? Engine.cpu(1) : Engine.cuda(device);
                        Collective nccl =
                                NcclCollective.join(engine, host, timeout, isToEnd::get, Optional.of(file), CHUNK)) {
                    body.run(engine, nccl, host);
                    nccl.allGather();
                    return null;
                }
            }));
        }
        Throwable[] failures = new Throwable[size];
        for (int r = 0; r < size; r++) {
            try {
                ranks.get(r).get();
            } catch (ExecutionException e) {
                failures[r] = e.getCause();
            }
        }
        threads.shutdown();
        return failures;
    }

    private void succeed(int size, Body body) throws Exception {
        for (Throwable failure : run(size, body)) {
            if (failure instanceof Error error) throw error;
            if (failure != null) throw (Exception) failure;
        }
    }

    private static float[] random(long seed, int count) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    /** A vector of so many elements, in pieces of several sizes and types, the same each time that it is asked for. */
    private static List<Tensor> vector(Engine engine, int rank, int count) {
        List<Tensor> tensors = new ArrayList<>();
        Dtype[] types = {Dtype.F32, Dtype.BF16, Dtype.F32, Dtype.F16};
        for (int n = 0, left = count; n == 0 || left > 0; n++) {
            int size = n == 3 ? left : (left + 2) / 3;
            tensors.add(engine.tensor(random(10L * rank + n, size), types[n % 4]));
            left -= size;
        }
        return tensors;
    }

    private static void assertSame(List<Tensor> expected, List<Tensor> actual) {
        assertEquals(expected.size(), actual.size());
        for (int n = 0; n < expected.size(); n++) assertArrayEquals(bits(expected.get(n)), bits(actual.get(n)));
    }

    private static int[] bits(Tensor tensor) {
        float[] values = tensor.get();
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) bits[i] = Float.floatToRawIntBits(values[i]);
        return bits;
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 7, 150, 401})
    void allOperationsComeToTheBitsOfTheWayByTheHost(int count) throws Exception {
        for (int size = 1; size <= 3; size++) {
            int ranks = size;
            succeed(size, (engine, nccl, host) -> {
                int rank = nccl.rank();
                List<Tensor> expected = vector(engine, rank, count), actual = vector(engine, rank, count);
                host.allReduce(expected);
                nccl.allReduce(actual);
                assertSame(expected, actual);

                expected = vector(engine, rank + 5, count);
                actual = vector(engine, rank + 5, count);
                long[] cuts = new long[ranks + 1]; // rank 0 has nothing, the last one most
                for (int r = 1; r <= ranks; r++) cuts[r] = r == ranks ? count : (long) count * (r - 1) / 8;
                int own = (int) (cuts[rank + 1] - cuts[rank]), first = own / 2;
                List<Tensor> expectedShard = List.of(engine.zeros(first), engine.zeros(own - first)),
                        shard = List.of(engine.zeros(first), engine.zeros(own - first));
                host.reduceScatter(expected, cuts, expectedShard);
                nccl.reduceScatter(actual, cuts, shard);
                assertSame(expectedShard, shard);
                assertSame(expected, actual);

                host.allGather(expectedShard, cuts, expected);
                nccl.allGather(shard, cuts, actual);
                assertSame(expected, actual);

                expected = vector(engine, rank + 9, count);
                actual = vector(engine, rank + 9, count);
                host.broadcast(ranks - 1, expected);
                nccl.broadcast(ranks - 1, actual);
                assertSame(expected, actual);

                assertArrayEquals(host.allGather(rank, 0.1), nccl.allGather(rank, 0.1));
            });
        }
    }

    @Test
    void aShardMayBeSomeOfTheTensorsWherever() throws Exception {
        succeed(2, (engine, nccl, host) -> {
            long[] cuts = {0, 120, 240};
            List<Tensor> expected = new ArrayList<>(), actual = new ArrayList<>();
            for (int n = 0; n < 2; n++) {
                expected.add(engine.tensor(random(2L * nccl.rank() + n, 120)));
                actual.add(engine.tensor(random(2L * nccl.rank() + n, 120)));
            }
            int others = 1 - nccl.rank();
            host.reduceScatter(expected, cuts, List.of(expected.get(others)));
            nccl.reduceScatter(actual, cuts, List.of(actual.get(others)));
            assertSame(expected, actual);
            host.allGather(List.of(expected.get(others)), cuts, expected);
            nccl.allGather(List.of(actual.get(others)), cuts, actual);
            assertSame(expected, actual);
        });
    }

    @Test
    void aShardedOptimizerComesToTheSameBits() throws Exception {
        succeed(3, (engine, nccl, host) -> {
            List<Map<String, Tensor>> all = new ArrayList<>();
            for (Collective collective : List.of(host, nccl)) {
                Map<String, Tensor> params = new TreeMap<>(), grads = new TreeMap<>();
                for (int n = 0; n < 5; n++) {
                    params.put("p" + n, engine.tensor(random(n, 30 + 40 * n), n == 4 ? Dtype.BF16 : Dtype.F32));
                    grads.put("p" + n, engine.zeros(n == 4 ? Dtype.BF16 : Dtype.F32, 30 + 40 * n));
                }
                try (ShardedOptimizer adam =
                        new ShardedOptimizer(engine, collective, Group.rest(Adam.of())).guard(Guard.clipNorm(1))) {
                    for (int step = 0; step < 4; step++) {
                        for (int n = 0; n < 5; n++)
                            grads.get("p" + n).set(random(100L * step + 10 * n + nccl.rank(), 30 + 40 * n));
                        adam.update(params, grads);
                    }
                }
                all.add(params);
            }
            assertSame(List.copyOf(all.get(0).values()), List.copyOf(all.get(1).values()));
        });
    }

    @Test
    void noCallWithTensorsWaitsForTheDevice() throws Exception {
        succeed(1, (engine, nccl, host) -> {}); // softcuda is there
        long[] waits = new long[2];
        succeed(2, (engine, nccl, host) -> {
            List<Tensor> tensors = vector(engine, nccl.rank(), 150);
            nccl.allReduce(tensors); // takes memory
            host.allGather();
            if (nccl.rank() == 0) waits[0] = waits();
            host.allGather();
            for (int step = 0; step < 3; step++) {
                nccl.allReduce(tensors);
                nccl.broadcast(0, tensors);
            }
            host.allGather();
            if (nccl.rank() == 0) waits[1] = waits();
            host.allGather();
        });
        assertEquals(waits[0], waits[1]);
        assertTrue(waits[0] > 0);
    }

    /** It hung for ever: while a call of the driver has an array of the heap, no garbage can be collected, and rank 1 has some to collect. */
    @Test
    void aReadThatWaitsForAnotherRankLeavesTheGarbageCollectorAlone() throws Exception {
        succeed(2, (engine, nccl, host) -> {
            Tensor tensor = engine.tensor(random(nccl.rank(), 100));
            nccl.allReduce(List.of(tensor)); // compiles
            nccl.allGather();
            if (nccl.rank() == 1) {
                Thread.sleep(500); // by then rank 0 waits
                System.gc();
                new File("").exists(); // as a call with a Java string has to wait for the collection that did not take
                // place
            }
            nccl.allReduce(List.of(tensor));
            tensor.get();
        });
    }

    /** How often the host has waited for a device so far. */
    private static long waits() {
        String stats = NativeLibrary.getInstance("libcuda.so.1")
                .getFunction("softcuda")
                .invokeString(new Object[] {"stats"}, false);
        Matcher call =
                Pattern.compile("\"cu(Stream|Event|Ctx)Synchronize\": *(\\d+)").matcher(stats);
        long waits = 0;
        while (call.find()) waits += Long.parseLong(call.group(2));
        return waits;
    }

    // ---- what goes wrong ----

    private static void says(String expected, Throwable failure) {
        assertTrue(
                failure != null && failure.getMessage().contains(expected),
                () -> "expected '" + expected + "', got '" + failure + "'");
    }

    @Test
    void aTransferThatDoesNotEndIsAbortedAndTheNextCallSaysSo() throws Exception {
        timeout = SHORT;
        soft("drop");
        long start = System.nanoTime();
        for (Throwable failure : run(2, (engine, nccl, host) -> {
            Tensor tensor = engine.tensor(random(1, 100));
            nccl.allReduce(List.of(tensor));
            tensor.get(); // waits for the device
            nccl.allReduce(List.of(tensor));
        })) says("NCCL was aborted: a transfer has not ended for 600 ms; another rank is lost", failure);
        assertTrue(System.nanoTime() - start < 20e9);
    }

    @Test
    void aRankThatMakesNoCallIsNotWaitedForWithoutEnd() throws Exception {
        timeout = SHORT;
        Throwable[] failures = run(2, (engine, nccl, host) -> {
            if (nccl.rank() == 1) throw new IllegalStateException("a disk broke");
            Tensor tensor = engine.tensor(random(1, 100));
            nccl.allReduce(List.of(tensor));
            nccl.allReduce(List.of(tensor));
            nccl.allGather();
        });
        says("NCCL was aborted: a transfer has not ended", failures[0]);
        says("a disk broke", failures[1]);
    }

    @Test
    void aTaskThatIsToEndDoesNotWaitForTheTimeout() throws Exception {
        soft("drop");
        for (Throwable failure : run(2, (engine, nccl, host) -> {
            Tensor tensor = engine.tensor(random(1, 100));
            nccl.allReduce(List.of(tensor));
            isToEnd.set(true);
            tensor.get();
            nccl.allReduce(List.of(tensor));
        })) says("the rank is to end", failure);
    }

    @Test
    void anErrorThatComesLaterIsNamed() throws Exception {
        for (Throwable failure : run(2, (engine, nccl, host) -> {
            Tensor tensor = engine.tensor(random(1, 100));
            nccl.allReduce(List.of(tensor));
            nccl.allGather();
            soft("async 6");
            nccl.allReduce(List.of(tensor));
            nccl.allReduce(List.of(tensor));
        })) says("remote process exited or there was a network error (as softnccl was told)", failure);
    }

    private static final Body NOTHING = (engine, nccl, host) -> {};

    @Test
    void aLibraryThatIsNotThereIsOneSentence() throws Exception {
        file = "/none/libnccl.so.2";
        for (Throwable failure : run(2, NOTHING)) {
            assertEquals(Nccl.Unavailable.class, failure.getClass());
            says("no NCCL (/none/libnccl.so.2): ", failure);
            says("install NVIDIA's NCCL 2.14 or later (their package libnccl2) on all machines", failure);
        }
    }

    @Test
    void aLibraryThatIsTooOldIsOneSentence() throws Exception {
        soft("version 21304");
        for (Throwable failure : run(2, NOTHING))
            says("NCCL (libnccl.so.2): expected version 2.14.0 or later, got 2.13.4; install", failure);
        soft("version 2804");
        for (Throwable failure : run(2, NOTHING)) says("got 2.8.4", failure);
    }

    @Test
    void whatOneRankHasNotTheOthersDoWithout() throws Exception {
        onCpu = true;
        Throwable[] failures = run(2, NOTHING);
        says("rank 0: rank 1 cannot use NCCL", failures[0]);
        says("rank 1: NCCL needs a GPU, got CPU (1 thread); have Spark give one", failures[1]);
    }

    @Test
    void ranksThatShareADeviceAreRefused() throws Exception {
        oneDevice = true;
        for (Throwable failure : run(2, NOTHING))
            says("Duplicate GPU detected: two ranks on one CUDA device); every rank needs a GPU of its own", failure);
    }

    @Test
    void aCommunicatorThatFailsOrNeverComesIsGivenUp() throws Exception {
        soft("init 2");
        for (Throwable failure : run(2, NOTHING)) says("ncclCommInitRankConfig: unhandled system error", failure);
        timeout = SHORT;
        soft("hang-init");
        for (Throwable failure : run(2, NOTHING))
            says("ncclCommInitRankConfig: expected an end within 600 ms, got none; not all ranks have come", failure);
    }

    @Test
    void whatCannotBeIsRefused() throws Exception {
        succeed(1, (engine, nccl, host) -> {
            List<Tensor> tensors = List.of(engine.zeros(4));
            Exception e = assertThrows(
                    IllegalArgumentException.class, () -> nccl.reduceScatter(tensors, new long[] {0, 3}, tensors));
            assertEquals("cuts: expected 2 numbers that rise from 0 to 4, got [0, 3]", e.getMessage());
            assertThrows(IllegalArgumentException.class, () -> nccl.broadcast(1, tensors));
            try (Engine cpu = Engine.cpu(1)) {
                assertThrows(IllegalArgumentException.class, () -> nccl.allReduce(List.of(cpu.zeros(4))));
            }
            assertThrows(IllegalStateException.class, () -> engine.capture(() -> nccl.allReduce(tensors)));
        });
    }
}
