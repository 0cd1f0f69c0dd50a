package kudari;

import static java.util.stream.Collectors.toMap;
import static java.util.stream.Collectors.toSet;
import static kudari.OptimizerTest.refused;
import static kudari.RulesTest.assertSameBits;
import static kudari.RulesTest.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import kudari.checkpoint.Checkpoint;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.AdaGrad;
import kudari.rule.Adafactor;
import kudari.rule.Adam;
import kudari.rule.FactoredRule;
import kudari.rule.Lamb;
import kudari.rule.Lars;
import kudari.rule.Momentum;
import kudari.rule.Muon;
import kudari.rule.NovoGrad;
import kudari.rule.Rule;
import kudari.rule.Sgd;
import kudari.rule.TensorRule;
import kudari.softcuda.Control;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the CUDA engine asks of a driver, and what it does when the driver fails. Runs on the GPU in software, which counts and fails calls. */
class CudaFaultsTest {

    private static final long SEED = 719;

    private static Control control;

    private CudaEngine cuda;
    private CpuEngine cpu;

    @BeforeAll
    static void connect() {
        if (Control.isThere()) control = new Control();
    }

    @BeforeEach
    void open() {
        assumeTrue(Control.isThere(), "kudari.device is not soft");
        cuda = (CudaEngine) Engines.open();
        cpu = Engine.cpu(1);
        ask("reset");
    }

    @AfterEach
    void close() {
        if (cuda == null) return;
        cuda.close();
        cpu.close();
        assertEquals("[]", ask("live").toString());
        assertEquals("[]", ask("errors").toString());
        ask("mode late");
    }

    private static JsonElement ask(String question) {
        return control.ask(question);
    }

    private static Map<String, Long> calls() {
        return control.calls();
    }

    /** Of so many updates, beside what is given: none of these is work of the device's. */
    private static Map<String, Long> calls(long updates, Map<String, Long> others) {
        Map<String, Long> all = new HashMap<>(others);
        all.merge("cuStreamIsCapturing", updates, Long::sum);
        return all;
    }

    /** What has been called that allocates, frees, or waits for all that was asked for. */
    private static Set<String> memoryAndWaits() {
        return calls().keySet().stream()
                .filter(call -> call.matches("cuMem(Alloc|Free).*|cuEvent(Create|Destroy)|cu(Stream|Ctx)Synchronize"))
                .collect(toSet());
    }

    private void finish() {
        cuda.inContext(cuda::finish);
    }

    private static Map<String, Tensor> set(Engine engine, int... sizes) {
        Random random = new Random(SEED);
        Map<String, Tensor> set = new LinkedHashMap<>();
        for (int size : sizes) set.put("W" + set.size(), engine.tensor(values(random, size)));
        return set;
    }

    private static float[] values(Random random, int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) values[i] = (float) random.nextGaussian();
        return values;
    }

    private static void assertSame(Map<String, Tensor> expected, Map<String, Tensor> actual) {
        expected.forEach(
                (name, tensor) -> assertSameBits(tensor.get(), actual.get(name).get()));
    }

    // ---- what a step moves and calls ----

    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aStepMovesItsBytesOnceAndSixteenAtATime(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01);
        int[] sizes = {4, 1024, 1028, 40_000};
        Map<String, Tensor> p = set(cuda, sizes), g = set(cuda, sizes);
        Optimizer optimizer = cuda.optimizer(rule);
        optimizer.update(p, g);
        finish();
        ask("reset");
        optimizer.update(p, g);
        finish();
        Set<Long> tensors = Stream.of(
                        p.values().stream(),
                        g.values().stream(),
                        p.keySet().stream().flatMap(name -> optimizer.state(name).values().stream()))
                .flatMap(s -> s)
                .filter(tensor -> tensor.size() > 0)
                .map(tensor -> JCudaAddress.of(cuda.pointer(tensor)))
                .collect(toSet());
        JsonArray launches = ask("launches").getAsJsonArray();
        assertEquals(launchesOf(rule, Guard.NONE), launches.size());
        Set<Long> numbers = p.keySet().stream()
                .flatMap(name -> optimizer.state(name).values().stream())
                .filter(tensor -> tensor.size() == 1)
                .map(tensor -> JCudaAddress.of(cuda.pointer(tensor)))
                .collect(toSet());
        Set<Long> touched = new HashSet<>();
        long bytes = 0;
        for (JsonElement launch : launches) {
            for (JsonElement element : launch.getAsJsonObject().getAsJsonArray("memory")) {
                JsonObject memory = element.getAsJsonObject();
                long address = memory.get("address").getAsLong();
                if (!tensors.contains(address)) continue;
                touched.add(address);
                if (numbers.contains(address)) continue;
                bytes += memory.get("bytes_read").getAsLong()
                        + memory.get("bytes_written").getAsLong();
                for (String accesses : Set.of("reads", "writes"))
                    for (String width : memory.getAsJsonObject(accesses).keySet()) assertEquals("16", width);
            }
        }
        assertEquals(tensors, touched);
        assertEquals((long) Workload.bytes(rule) * IntStream.of(sizes).sum(), bytes);
    }

    /** Beside the tensors, what is read for a chunk and not for an element: by each thread once, a row of the table, and the scalars of the step. */
    @ParameterizedTest
    @MethodSource("kudari.RulesTest#table")
    void aStepReadsItsTableAndItsScalarsOnceForAChunk(RulesTest.Row row) {
        Rule rule = row.of().apply(0.01);
        int[] sizes = {4, 1024, 1028, 40_000};
        Map<String, Tensor> p = set(cuda, sizes), g = set(cuda, sizes);
        Optimizer optimizer = cuda.optimizer(rule);
        optimizer.update(p, g);
        finish();
        ask("reset");
        optimizer.update(p, g);
        finish();
        JsonArray launches = ask("launches").getAsJsonArray();
        assumeTrue(launches.size() == 1, "what the sums are told of a tensor is read beside");
        JsonObject launch = launches.get(0).getAsJsonObject();
        long blocks = launch.getAsJsonArray("grid").get(0).getAsLong(), threads = CudaDriver.THREADS;
        long rowBytes = (4L + Math.max(1, rule.state().size())) * Long.BYTES,
                told = Long.BYTES; // of 10 words the first
        // Behind the rows stands for each tensor what it is told and its first piece, and the end of the pieces.
        long each = CudaDriver.chunkSize(blocks, IntStream.of(sizes).sum());
        long chunks =
                IntStream.of(sizes).mapToLong(size -> (size + each - 1) / each).sum();
        long tableBytes = chunks * rowBytes + (11L * sizes.length + 1) * Long.BYTES;
        long head = 64, scalars = (long) Rule.SCALARS * Float.BYTES;
        Map<Long, Long> most = Map.of(
                tableBytes,
                threads * chunks * (rowBytes + told),
                controlBytes(),
                threads * (blocks * head + chunks * scalars));
        Set<Long> seen = new HashSet<>();
        for (JsonElement element : launch.getAsJsonArray("memory")) {
            JsonObject memory = element.getAsJsonObject();
            long size = memory.get("bytes").getAsLong();
            if (!most.containsKey(size)) continue;
            seen.add(size);
            long bytes = memory.get("bytes_read").getAsLong()
                    + memory.get("bytes_written").getAsLong();
            assertTrue(bytes <= most.get(size), bytes + " bytes of " + memory + ", at most " + most.get(size));
        }
        assertEquals(most.keySet(), seen, launch::toString);
    }

    /** As if the device were a thousand steps further than the host has sent scalars for, or so far behind that theirs have gone for those of later steps. */
    @ParameterizedTest
    @CsvSource({"1,1000,false", "1,1000,true", "300,10,false"})
    void stepsThatFindNoScalarsAreCountedAndTold(int updates, long counted, boolean zeroes) {
        Tensor p = cuda.tensor(floats(1, 2)), g = cuda.tensor(floats(1, 1));
        Optimizer adam = cuda.optimizer(Adam.of()).guard(Guard.skipNonFinite());
        if (zeroes) adam.zeroGradients();
        for (int t = 0; t < updates; t++) adam.update(p, g);
        float[] before = p.get();
        CUdeviceptr done = cuda.pointer(cuda.wrap(controlBlock(), 2)); // the first of its words
        cuda.inContext(
                () -> assertEquals(0, JCudaDriver.cuMemcpyHtoD(done, Pointer.to(new long[] {counted}), Long.BYTES)));
        adam.update(p, g);
        adam.update(p, g);
        assertSameBits(before, p.get());
        refused(IllegalStateException.class, adam::counts, "2 steps found no scalars", "report");
    }

    /** The address of the control block of the only optimizer, which has one group. */
    private static long controlBlock() {
        for (JsonElement live : ask("live").getAsJsonArray())
            if (live.getAsJsonObject().get("bytes").getAsLong() == controlBytes())
                return live.getAsJsonObject().get("address").getAsLong();
        throw new AssertionError("no control block in " + ask("live"));
    }

    /** Its head, and the ring of slots. */
    private static long controlBytes() {
        return 64 + kudari.Control.RING * (16L + Rule.SCALARS * Float.BYTES);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 300})
    void aStepIsOneLaunchAndNothingElse(int count) {
        int[] sizes = new Random(SEED).ints(count, 1, 40).toArray();
        Map<String, Tensor> p = set(cuda, sizes), g = set(cuda, sizes);
        Optimizer adam = cuda.optimizer(Adam.of());
        adam.update(p, g);
        finish();
        ask("reset");
        for (int t = 0; t < 10; t++) adam.update(p, g);
        assertEquals(calls(10, Map.of("cuLaunchKernel", 10L)), calls());
        assertEquals(0, control.launches(), "launches that have run");
        finish();
        assertEquals(10, control.launches());
    }

    /** LARS and NovoGrad 2, clipped or not; LAMB 2 and Adafactor 3, and one more where a guard needs the norm first. */
    private static int launchesOf(Rule rule, Guard guard) {
        if (!(rule instanceof TensorRule whole)) return guard.reduces() ? 2 : 1;
        int passes = rule instanceof FactoredRule ? 3 : 2;
        return whole.gathers() && guard.reduces() ? passes + 1 : passes;
    }

    static Stream<Arguments> launchesOfRules() {
        return Stream.of(
                Arguments.of(Lars.of(0.1), Guard.NONE, 2),
                Arguments.of(Lars.of(0.1), Guard.clipNorm(1), 2),
                Arguments.of(NovoGrad.of(0.1), Guard.NONE, 2),
                Arguments.of(NovoGrad.of(0.1), Guard.clipNorm(1), 2),
                Arguments.of(NovoGrad.of(0.1), Guard.clipTensorNorm(1), 2),
                Arguments.of(Lamb.of(0.1), Guard.NONE, 2),
                Arguments.of(Lamb.of(0.1), Guard.clipValue(1), 2),
                Arguments.of(Lamb.of(0.1), Guard.clipNorm(1), 3),
                Arguments.of(Adafactor.of(0.1), Guard.NONE, 3),
                Arguments.of(Adafactor.of(0.1), Guard.clipValue(1), 3),
                Arguments.of(Adafactor.of(0.1), Guard.clipNorm(1), 4));
    }

    /** For any number of tensors, of which some have no elements. */
    @ParameterizedTest
    @MethodSource("launchesOfRules")
    void aStepOfARuleThatLooksAtWholeTensorsIsSoManyLaunchesAndNothingElse(Rule rule, Guard guard, int launches) {
        int[] sizes = new Random(SEED).ints(50, 0, 40).toArray();
        Map<String, Tensor> p = set(cuda, sizes), g = set(cuda, sizes);
        Optimizer optimizer = cuda.optimizer(rule).guard(guard);
        optimizer.update(p, g);
        finish();
        ask("reset");
        for (int t = 0; t < 10; t++) optimizer.update(p, g);
        assertEquals(calls(10, Map.of("cuLaunchKernel", 10L * launches)), calls());
        assertEquals(launches, launchesOf(rule, guard));
    }

    /** Scalars go over once in a window of 64 steps, from memory that the copies of two windows before have long left. */
    @Test
    void aWindowOfStepsIsOneCopyOfScalarsAndNothingWaitsForTheDevice() {
        Map<String, Tensor> p = set(cuda, 3, 5), g = set(cuda, 3, 5);
        Optimizer groups = cuda.optimizer(Group.of("W0", Adam.of()), Group.rest(Adam.of(0.1)));
        for (int t = 1; t < 64; t++) groups.update(p, g);
        finish();
        ask("reset");
        for (int t = 0; t < 128; t++) groups.update(p, g);
        assertEquals(
                calls(
                        128,
                        Map.of(
                                "cuLaunchKernel", 128L,
                                "cuStreamIsCapturing", 2L, // before each copy
                                "cuMemcpyHtoDAsync", 2L,
                                "cuEventRecord", 2L,
                                "cuEventSynchronize", 2L)),
                calls());
        assertEquals(0, control.launches(), "launches that have run, as for a copy waited for");
    }

    /** One more launch, as of any guard: no copy, no wait, and none for the scale, of however many optimizers. */
    @Test
    void aLossScaleIsNoLaunchMoreThanAGuard() {
        Tensor p = cuda.zeros(5), g = cuda.tensor(floats(1, 2, 3, 4, 5));
        LossScale scale = cuda.lossScale(LossScaling.dynamic().interval(3));
        Optimizer adam = cuda.optimizer(Adam.of()).lossScale(scale),
                clips = cuda.optimizer(Adam.of()).guard(Guard.clipNorm(1)).lossScale(scale);
        adam.update(p, g);
        clips.update(p, g);
        finish();
        ask("reset");
        for (int t = 0; t < 10; t++) adam.update(p, g);
        for (int t = 0; t < 10; t++) clips.update(p, g);
        assertEquals(calls(20, Map.of("cuLaunchKernel", 40L)), calls());
        assertEquals(0, control.launches(), "launches that have run");
        assertEquals(new LossScale.State(0x1p19f, 2, 1, false), scale.state(), "eleven good steps of the second");
    }

    @Test
    void aGuardedStepIsOneMoreLaunchAndTheHostLooksAtTheCountOnceInAWindow() {
        Tensor p = cuda.zeros(5), g = cuda.tensor(floats(1, 2, 3, 4, 5));
        Optimizer adam = cuda.optimizer(Adam.of()).guard(Guard.clipNorm(1));
        adam.update(p, g);
        finish();
        ask("reset");
        for (int t = 0; t < 10; t++) adam.update(p, g);
        assertEquals(calls(10, Map.of("cuLaunchKernel", 20L)), calls());
        assertEquals(0, control.launches(), "launches that have run");
        for (int t = 0; t < 128; t++) adam.update(p, g);
        Map<String, Long> calls = calls();
        assertEquals(2, calls.get("cuMemcpyDtoHAsync"), "looks at the counts");
        assertEquals(2, calls.get("cuMemcpyHtoDAsync"), "windows of scalars");
        assertEquals(null, calls.get("cuStreamSynchronize"));
    }

    /** Another rank, with some pieces of gradients of which the squares sum up to 9. */
    private static final class Other implements OtherRanks {

        int pieces = 1;

        @Override
        public double[] partials(double[] own) {
            double[] all = Arrays.copyOf(own, own.length + pieces);
            all[own.length] = 9;
            return all;
        }

        @Override
        public boolean any(boolean own) {
            return own;
        }

        @Override
        public boolean[] active(boolean[] own) {
            return own;
        }
    }

    /** The sums of this rank come over, and those of all ranks go back; by each tensor's own norm also whether a factor vanishes comes over. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aStepThatWaitsForOtherRanksIsTwoMoreLaunchesAndACopyEachWay(boolean each) {
        Tensor p = cuda.zeros(2), g = cuda.tensor(floats(0, 4));
        Optimizer sgd = cuda.optimizer(Sgd.of(1))
                .guard(each ? Guard.clipTensorNorm(1) : Guard.clipNorm(1))
                .join(new Other());
        sgd.update(p, g);
        finish();
        ask("reset");
        for (int t = 0; t < 9; t++) sgd.update(p, g);
        long reads = each ? 2 : 1;
        assertEquals(
                calls(
                        9,
                        Map.of(
                                "cuLaunchKernel",
                                27L,
                                "cuMemcpyDtoHAsync",
                                9 * reads,
                                "cuStreamSynchronize",
                                9 * reads,
                                "cuMemcpyHtoDAsync",
                                9L,
                                "cuStreamIsCapturing",
                                9 * (2 + reads), // before the launches, each wait and the copy
                                "run",
                                25L)), // all up to the last wait
                calls());
        assertEquals(5, sgd.norm(), "√(3² + 4²)");
        assertEquals(each ? -10 : -8, p.get()[1], 0x1p-18, "ten times 4 · 1/4, or 1/5");
    }

    @ParameterizedTest
    @CsvSource({
        "cuLaunchKernel:1:1,reduce.cu: reduce with",
        "cuMemcpyDtoHAsync:1:1,cuMemcpyDtoHAsync of the sums of a rank's gradients",
        "cuStreamSynchronize:1:1,cuStreamSynchronize",
        "cuMemAlloc:1:2,the sums of all ranks' gradients",
        "cuMemFree:1:1,cuMemFree",
        "cuMemcpyHtoDAsync:1:1,cuMemcpyHtoDAsync of the sums of all ranks' gradients",
        "cuLaunchKernel:2:1,reduce.cu: reduce_ranks with",
        "cuLaunchKernel:3:1,kernels/adam.cu"
    })
    void aStepOverRanksThatFailsIsNotCountedAndChangesNothing(String failure, String named) {
        Tensor p = cuda.tensor(floats(1, 2)),
                g = cuda.tensor(floats(0, 4)),
                a = cpu.tensor(floats(1, 2)),
                da = cpu.tensor(floats(0, 4));
        Other other = new Other();
        Optimizer adam = cuda.optimizer(Adam.of()).guard(Guard.clipNorm(1)).join(other),
                expected = cpu.optimizer(Adam.of()).guard(Guard.clipNorm(1)).join(other);
        for (int t = 0; t < 3; t++) {
            adam.update(p, g);
            expected.update(a, da);
            other.pieces++; // for which there is no room
            ask("reset");
            ask("fail " + failure);
            refused(CudaException.class, () -> adam.update(p, g), named);
            assertEquals(t + 1, adam.steps());
        }
        adam.update(p, g);
        expected.update(a, da);
        assertSameBits(a.get(), p.get());
        assertEquals(5, adam.norm());
        adam.close();
    }

    @Test
    void groupsOfOneKindOfRuleAreOneLaunchAndOfTwoKindsTwo() {
        Map<String, Tensor> p = set(cuda, 3, 5, 7), g = set(cuda, 3, 5, 7);
        Optimizer one = cuda.optimizer(Group.of("W0", Adam.of()), Group.of("W1", Adam.of(0.1)), Group.rest(Adam.of())),
                two = cuda.optimizer(Group.of("W0", Adam.of()), Group.rest(Sgd.of()));
        one.update(p, g);
        two.update(p, g);
        ask("reset");
        one.update(p, g);
        assertEquals(1, calls().get("cuLaunchKernel"));
        two.update(p, g);
        assertEquals(3, calls().get("cuLaunchKernel"));
    }

    @ParameterizedTest
    @CsvSource({"cuLaunchKernel:1:1,reduce", "cuLaunchKernel:2:1,kernels/adam.cu"})
    void aClippedStepThatFailsIsNotCountedAndChangesNothing(String failure, String named) {
        Tensor p = cuda.tensor(floats(1, 2)),
                g = cuda.tensor(floats(3, 4)),
                a = cpu.tensor(floats(1, 2)),
                da = cpu.tensor(floats(3, 4));
        Optimizer adam = cuda.optimizer(Adam.of()).guard(Guard.clipNorm(1)),
                expected = cpu.optimizer(Adam.of()).guard(Guard.clipNorm(1));
        for (int t = 0; t < 3; t++) {
            adam.update(p, g);
            expected.update(a, da);
            ask("reset");
            ask("fail " + failure);
            refused(CudaException.class, () -> adam.update(p, g), named);
            assertEquals(t + 1, adam.steps());
        }
        adam.update(p, g);
        expected.update(a, da);
        assertSameBits(a.get(), p.get());
    }

    @Test
    void anUpdateThatFailsIsNotCountedAsLeftOutEither() {
        Tensor p = cuda.tensor(floats(1, 2)), bad = cuda.tensor(floats(1, Double.NaN));
        Optimizer sgd = cuda.optimizer(Sgd.of(1)).guard(Guard.clipNorm(1));
        sgd.update(p, bad);
        ask("reset");
        ask("fail cuLaunchKernel:2:1");
        refused(CudaException.class, () -> sgd.update(p, bad), "kernels/sgd.cu");
        assertEquals(0, sgd.steps());
        assertEquals(1, sgd.skipped());
    }

    /** The state, the control block, the table; what is pinned, the events; the copies of the block's head, and of the table. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "cuMemAlloc:1:2",
                "cuMemAlloc:2:2",
                "cuMemAlloc:3:2",
                "cuMemAllocHost:1:2",
                "cuMemAllocHost:2:2",
                "cuMemAllocHost:3:2",
                "cuMemAllocHost:4:2",
                "cuMemAllocHost:5:2",
                "cuEventCreate:1:1",
                "cuEventCreate:2:1",
                "cuEventCreate:3:1",
                "cuMemsetD8Async:1:1",
                "cuMemcpyHtoDAsync:1:1",
                "cuMemcpyHtoDAsync:2:1"
            })
    void aFailureWhileClippedStepsAreLaidOutLeavesNothing(String failure) {
        Tensor p = cuda.tensor(floats(1, 2)), g = cuda.tensor(floats(3, 4));
        Optimizer momentum = cuda.optimizer(Momentum.of(1)).guard(Guard.clipNorm(5));
        long before = cuda.allocated();
        int live = ask("live").getAsJsonArray().size();
        ask("reset");
        ask("fail " + failure);
        refused(CudaException.class, () -> momentum.update(p, g), failure.replaceFirst(":.*", ""));
        assertEquals(before, cuda.allocated());
        assertEquals(live, ask("live").getAsJsonArray().size());
        momentum.update(p, g);
        assertSameBits(floats(-2, -2), p.get());
    }

    @Test
    void cublasThatCannotBeMadeLeavesNothing() {
        long before = cuda.allocated();
        int live = ask("live").getAsJsonArray().size();
        for (String failure : new String[] {"cublasSetStream:1:13", "cublasSetWorkspace:1:13", "cuMemAlloc:1:2"}) {
            ask("reset");
            ask("fail " + failure);
            refused(CudaException.class, cuda::cublas, failure.replaceFirst(":.*", ""));
            assertEquals(before, cuda.allocated());
            assertEquals(live, ask("live").getAsJsonArray().size());
        }
        ask("reset");
        assertEquals(cuda.cublas(), cuda.cublas());
    }

    @Test
    void nothingGoesToTheNullStream() {
        Map<String, Tensor> p = set(cuda, 5, 6), g = set(cuda, 5, 6);
        Optimizer adam = cuda.optimizer(Adam.of());
        adam.update(p, g);
        p.get("W0").get();
        assertEquals(
                Set.of(),
                calls().keySet().stream()
                        .filter(call -> call.matches("cu(Memcpy|Memset).*(?<!Async)"))
                        .collect(toSet()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"late", "eager"})
    void hostMemoryOverwrittenAfterTheCallDoesNoHarm(String mode) {
        ask("mode " + mode);
        Random random = new Random(SEED);
        Map<String, Tensor> a = set(cpu, 5, 1030), da = set(cpu, 5, 1030);
        Map<String, Tensor> b = set(cuda, 5, 1030), db = set(cuda, 5, 1030);
        Schedule warm = t -> Adam.of(0.01 / t);
        Optimizer expected = cpu.optimizer(warm), actual = cuda.optimizer(warm);
        for (int round = 0; round < 3; round++) {
            for (int t = 0; t < 10; t++) { // the scalars of each step overwrite those of the last, and nothing waits
                expected.update(a, da);
                actual.update(b, db);
            }
            for (String name : a.keySet()) {
                float[] gradient = values(random, (int) a.get(name).size());
                da.get(name).set(gradient);
                db.get(name).set(gradient);
                Arrays.fill(gradient, Float.NaN);
            }
            expected.update(Map.of("W0", a.get("W0")), Map.of("W0", da.get("W0"))); // another table, another page
            actual.update(Map.of("W0", b.get("W0")), Map.of("W0", db.get("W0")));
        }
        assertSame(a, b);
    }

    // ---- the driver says no ----

    static Stream<Arguments> refusals() {
        // Three tensors: six arrays of state, the control block and the table; then the zeroing, and the copies of
        // these two.
        return Stream.of(
                        IntStream.rangeClosed(1, 8).mapToObj(n -> "cuMemAlloc:" + n + ":2"),
                        IntStream.rangeClosed(1, 6).mapToObj(n -> "cuMemsetD32Async:" + n + ":1"),
                        Stream.of("cuMemcpyHtoDAsync:1:1", "cuMemcpyHtoDAsync:2:1"))
                .flatMap(s -> s)
                .map(Arguments::of);
    }

    @ParameterizedTest
    @MethodSource("refusals")
    void aFailureWhileStateIsMadeLeavesNothingAndTheOptimizerUsable(String failure) {
        int[] sizes = {3, 1030, 8};
        Map<String, Tensor> p = set(cuda, sizes), g = set(cuda, sizes), expected = set(cpu, sizes);
        Optimizer adam = cuda.optimizer(Adam.of());
        long before = cuda.allocated();
        int live = ask("live").getAsJsonArray().size();
        ask("fail " + failure);
        String message =
                assertThrows(CudaException.class, () -> adam.update(p, g)).getMessage();
        assertTrue(message.contains(failure.replaceFirst(":.*", "")), message);
        if (failure.endsWith(":2")) assertTrue(message.contains("memory is full: close"), message);
        assertEquals(before, cuda.allocated());
        assertEquals(live, ask("live").getAsJsonArray().size());
        assertEquals(0, adam.steps());
        refused(IllegalArgumentException.class, () -> adam.state("W0"), "no state");
        assertSame(expected, p);

        adam.update(p, g);
        cpu.optimizer(Adam.of()).update(expected, set(cpu, sizes));
        assertSame(expected, p);
        assertEquals(1, adam.steps());
    }

    @ParameterizedTest
    @ValueSource(strings = {"cuMemAlloc:1:2", "cuMemsetD32Async:1:1", "cuMemsetD32Async:2:1", "cuMemcpyHtoDAsync:1:1"})
    void aTensorThatCannotBeMadeLeavesNothing(String failure) {
        long before = cuda.allocated();
        ask("fail " + failure);
        assertThrows(CudaException.class, () -> {
            if (failure.contains("Memcpy")) cuda.tensor(floats(1, 2));
            else cuda.full(1, 2); // zeroed, then filled
        });
        refused(IllegalArgumentException.class, () -> cuda.tensor(floats(1, 2), 3), "expected 3 values");
        assertEquals(before, cuda.allocated());
    }

    @ParameterizedTest
    @ValueSource(strings = {"cuMemAlloc:1:2", "cuMemAlloc:4:2", "cuMemcpyDtoDAsync:1:1", "cuMemcpyDtoDAsync:4:1"})
    void aFailureWhileResumingChangesNothing(String failure) {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8), a = set(cpu, 3, 8), da = set(cpu, 3, 8);
        Optimizer adam = cuda.optimizer(Adam.of()), expected = cpu.optimizer(Adam.of());
        for (int t = 0; t < 2; t++) {
            adam.update(p, g);
            expected.update(a, da);
        }
        Map<String, Map<String, Tensor>> saved = p.keySet().stream().collect(toMap(name -> name, adam::state));
        long before = cuda.allocated();
        ask("fail " + failure);
        assertThrows(CudaException.class, () -> adam.resume(7, saved));
        assertEquals(before, cuda.allocated());
        assertEquals(2, adam.steps());
        adam.update(p, g);
        expected.update(a, da);
        assertSame(a, p);
    }

    /** Two copies are made, then the averages are put into the parameters, one after the other. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "cuMemAlloc:1:2",
                "cuMemAlloc:2:2",
                "cuMemcpyDtoDAsync:1:1",
                "cuMemcpyDtoDAsync:2:1",
                "cuMemcpyDtoDAsync:3:1",
                "cuMemcpyDtoDAsync:4:1"
            })
    void anEvaluationThatCannotBeOpenedLeavesEverythingAsItWas(String failure) {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8);
        Optimizer sgd = cuda.optimizer(Group.rest(Sgd.of(0.5)).average(0.5));
        sgd.update(p, g);
        Map<String, float[]> before = p.keySet().stream()
                .collect(toMap(name -> name, name -> p.get(name).get()));
        long allocated = cuda.allocated();
        ask("reset");
        ask("fail " + failure);
        refused(CudaException.class, () -> sgd.evaluating(p), failure.replaceFirst(":.*", ""));
        assertFalse(sgd.isEvaluating());
        assertEquals(allocated, cuda.allocated());
        before.forEach((name, values) -> assertSameBits(values, p.get(name).get()));
        sgd.evaluating(p).close();
        assertEquals(allocated, cuda.allocated());
    }

    /** The second of two parameters holds its average still: nothing trains, until the evaluation is closed again. */
    @Test
    void anEvaluationWhoseEndFailsIsOpenStill() {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8);
        Optimizer sgd = cuda.optimizer(Group.rest(Sgd.of(0.5)).average(0.5));
        sgd.update(p, g);
        float[] before = p.get("W1").get();
        Evaluation evaluation = sgd.evaluating(p);
        ask("reset");
        ask("fail cuMemcpyDtoDAsync:2:1");
        refused(CudaException.class, evaluation::close, "cuMemcpyDtoDAsync");
        assertTrue(sgd.isEvaluating());
        refused(IllegalStateException.class, () -> sgd.update(p, g), "close it first");
        evaluation.close();
        assertFalse(sgd.isEvaluating());
        assertSameBits(before, p.get("W1").get());
    }

    /** Step 64 begins a window: its scalars, and those of the 63 that follow, are sent. */
    @ParameterizedTest
    @CsvSource({
        "1,cuLaunchKernel:1:1,cuLaunchKernel of kernels/adam.cu",
        "63,cuMemcpyHtoDAsync:1:1,scalars",
        "63,cuEventSynchronize:1:1,scalars",
        "63,cuLaunchKernel:1:1,cuLaunchKernel of kernels/adam.cu"
    })
    void aStepThatFailsIsNotCountedAndChangesNothing(int done, String failure, String named) {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8), a = set(cpu, 3, 8), da = set(cpu, 3, 8);
        Optimizer adam = cuda.optimizer(Adam.of()), expected = cpu.optimizer(Adam.of());
        for (int t = 0; t < done; t++) {
            adam.update(p, g);
            expected.update(a, da);
        }
        finish();
        ask("reset");
        ask("fail " + failure);
        refused(CudaException.class, () -> adam.update(p, g), named);
        finish();
        assertEquals(0, control.launches());
        assertEquals(done, adam.steps());
        assertSame(a, p);
        adam.update(p, g);
        expected.update(a, da);
        assertSame(a, p);
    }

    static Stream<Arguments> halves() {
        Group[] lamb = {Group.rest(Lamb.of(0.1))}, adafactor = {Group.rest(Adafactor.of(0.1))};
        Group[] muon = {Group.rest(Muon.of(0.1))}, two = {Group.of("a", Adam.of(0.1)), Group.rest(Sgd.of(0.1))};
        return Stream.of(
                Arguments.of(lamb, "cuLaunchKernel:2:1", "kernels/lamb.cu: lamb with"),
                Arguments.of(adafactor, "cuLaunchKernel:2:1", "kernels/adafactor.cu: adafactor_gather"),
                Arguments.of(adafactor, "cuLaunchKernel:3:1", "kernels/adafactor.cu: adafactor with"),
                Arguments.of(muon, "cuLaunchKernel:2:1", "kernels/newtonschulz.cu: sums"),
                Arguments.of(muon, "cublasGemmStridedBatchedEx:4:13", "cublasGemmStridedBatchedEx"),
                Arguments.of(two, "cuLaunchKernel:2:1", "kernels/sgd.cu"));
    }

    @ParameterizedTest
    @MethodSource("halves")
    void aStepThatFailsHalfDoneIsSaidAndNoneFollowsUntilACheckpointIsRestored(
            Group[] groups, String failure, String named) {
        Map<String, Tensor> p = matrices(), g = matrices(), a = matrices(), da = matrices();
        Optimizer stopped = cuda.optimizer(groups), expected = cuda.optimizer(groups);
        stopped.update(p, g);
        expected.update(a, da);
        Checkpoint saved = Checkpoint.of(stopped, p, Map.of());
        Graph graph = cuda.capture(() -> stopped.update(p, g));
        ask("reset");
        ask("fail " + failure);
        refused(CudaException.class, () -> stopped.update(p, g), named, "half done");
        String told = "whose last step failed half done; restore a checkpoint";
        refused(IllegalStateException.class, () -> stopped.update(p, g), "update: ", told);
        refused(IllegalStateException.class, graph::launch, "launch: ", told);
        refused(IllegalStateException.class, () -> Checkpoint.of(stopped, p, Map.of()), "counts: ", told);
        saved.restore(stopped, p);
        stopped.update(p, g);
        expected.update(a, da);
        assertSame(a, p);
        assertEquals(2, stopped.steps());
        graph.close();
    }

    /** Each launch would do the part that was recorded, and count a step that is none. */
    @ParameterizedTest
    @MethodSource("halves")
    void aStepThatFailsHalfRecordedFailsTheCaptureThoughItsBodyCatchesThat(
            Group[] groups, String failure, String named) {
        Map<String, Tensor> p = matrices(), g = matrices(), a = matrices(), da = matrices();
        Optimizer caught = cuda.optimizer(groups), expected = cuda.optimizer(groups);
        caught.update(p, g);
        ask("reset");
        ask("fail " + failure);
        refused(
                IllegalStateException.class,
                () -> cuda.capture(() -> {
                    try {
                        caught.update(p, g);
                    } catch (RuntimeException e) {
                        // as a body may
                    }
                    caught.update(p, g);
                }),
                "capture: expected a body that lets every failure out",
                named);
        try (Graph graph = cuda.capture(() -> caught.update(p, g))) {
            graph.launch();
        }
        for (int t = 1; t <= 2; t++) expected.update(a, da);
        assertSame(a, p);
        assertEquals(2, caught.steps());
    }

    private Map<String, Tensor> matrices() {
        Random random = new Random(SEED);
        return Map.of("a", cuda.tensor(values(random, 15), 3, 5), "b", cuda.tensor(values(random, 8), 4, 2));
    }

    // ---- the device is lost, or frees nothing ----

    @ParameterizedTest
    @ValueSource(strings = {"cuLaunchKernel:1:700", "cuLaunchKernel:1:719", "cuLaunchKernel:1:702"})
    void aLostDeviceIsSaidAtOnceByEveryLaterCallAndOnceByClose(String failure) {
        Tensor p = cuda.tensor(floats(1, 2)), g = cuda.tensor(floats(3, 4));
        Optimizer adam = cuda.optimizer(Adam.of());
        adam.update(p, g);
        ask("fail " + failure);
        refused(CudaException.class, () -> adam.update(p, g), "lost its context");
        assertEquals(1, adam.steps());
        refused(CudaException.class, () -> adam.update(p, g), "lost its context");
        refused(CudaException.class, () -> adam.update(Map.of("W", p), Map.of("W", g)), "lost its context");
        refused(CudaException.class, p::get, "lost its context");
        refused(CudaException.class, () -> p.set(1, 2), "lost its context");
        refused(CudaException.class, () -> cuda.zeros(3), "lost its context");
        refused(CudaException.class, () -> cuda.optimizer(Sgd.of(1)).update(p, g), "lost its context");
        assertEquals(1, adam.steps());
        refused(CudaException.class, cuda::close, "closing cuda:0", "lost its context");
        assertEquals(0, cuda.allocated());
        cuda.close(); // does nothing
        refused(IllegalStateException.class, p::get, "closed");
        try (Engine again = Engine.cuda(0)) {
            assertEquals(5, again.tensor(floats(5)).get()[0]);
        }
    }

    @Test
    void aKernelThatFailsAsItRunsIsSaidByWhoeverWaits() {
        Tensor p = cuda.tensor(floats(1, 2)), g = cuda.tensor(floats(3, 4));
        Optimizer sgd = cuda.optimizer(Sgd.of(1));
        ask("fail run:1:719");
        sgd.update(p, g);
        refused(CudaException.class, p::get, "lost its context");
        refused(CudaException.class, () -> sgd.update(p, g), "lost its context");
        refused(CudaException.class, cuda::close, "closing cuda:0", "lost its context");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5})
    void oneFreeThatFailsKeepsNoOtherFromBeingDone(int n) {
        try (Engine other = Engine.cuda(0)) { // the device's context outlives the first engine, and shows what it left
            int live = ask("live").getAsJsonArray().size();
            CudaEngine engine = Engine.cuda(0);
            Map<String, Tensor> p = set(engine, 3, 4);
            engine.optimizer(Momentum.of(0.1)).update(p, set(engine, 3, 4));
            ask("fail cuMemFree:" + n + ":1");
            refused(CudaException.class, engine::close, "closing cuda:0");
            assertEquals(live + 1, ask("live").getAsJsonArray().size());
            engine.close();
            assertEquals(0, engine.allocated());
            assertEquals(1, other.tensor(floats(1)).get()[0]);
        }
        cuda.close(); // the last to hold the context, with what could not be freed in it
        assertTrue(ask("errors").toString().contains("left when its context was destroyed"));
        ask("reset");
    }

    @Test
    void aCopyThatFailsAsTheTensorsChangeLosesNoStep() {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8), a = set(cpu, 3, 8), da = set(cpu, 3, 8);
        Optimizer adam = cuda.optimizer(Adam.of()), expected = cpu.optimizer(Adam.of());
        adam.update(p, g);
        ask("fail cuMemcpyHtoDAsync:1:1");
        Map<String, Tensor> p1 = Map.of("W1", p.get("W1")), g1 = Map.of("W1", g.get("W1"));
        refused(CudaException.class, () -> adam.update(p1, g1), "cuMemcpyHtoDAsync");
        assertEquals(1, adam.steps());
        adam.update(p1, g1);
        expected.update(a, da);
        expected.update(Map.of("W1", a.get("W1")), Map.of("W1", da.get("W1")));
        assertSame(a, p);
    }

    /** In the place of the old layout, or in memory of its own because it is larger; nothing of either is left, and no step goes to the wrong tensors. */
    @ParameterizedTest
    @CsvSource({
        "2,cuMemcpyHtoDAsync:1:1", "2,cuEventRecord:1:1", "2,cuEventSynchronize:1:1",
        "40000,cuMemAlloc:1:2", "40000,cuMemAllocHost:1:2", "40000,cuMemcpyHtoDAsync:1:1"
    })
    void aLayoutThatFailsLeavesNothingAndTheOptimizerUsable(int size, String failure) {
        Tensor p = cuda.tensor(floats(1, 2)), g = cuda.tensor(floats(3, 4)), q = cuda.zeros(size), h = cuda.zeros(size);
        Optimizer sgd = cuda.optimizer(Sgd.of(1));
        sgd.update(p, g);
        long before = cuda.allocated();
        finish();
        for (int n = 0; n < 3; n++) {
            ask("reset");
            ask("fail " + failure);
            refused(CudaException.class, () -> sgd.update(q, h), failure.replaceFirst(":.*", ""));
            sgd.update(p, g);
            assertEquals(before, cuda.allocated());
        }
        assertEquals(4, sgd.steps());
        assertSameBits(floats(-11, -14), p.get());
        sgd.update(q, h);
    }

    /** What is recorded is a graph of the driver's until it is made what can be launched, or given up. */
    @Test
    void whatIsRecordedIsDestroyedOnceItIsMadeOrGivenUp() {
        Tensor x = cuda.zeros(1), one = cuda.full(1, 1);
        x.add(one, 1);
        ask("reset");
        cuda.capture(() -> x.add(one, 1)).close();
        assertEquals(1, calls().get("cuGraphDestroy"), () -> calls().toString());
        assertEquals(1, calls().get("cuGraphExecDestroy"), () -> calls().toString());
        refused(
                IllegalArgumentException.class,
                () -> cuda.capture(() -> {
                    x.add(one, 1);
                    throw new IllegalArgumentException("the body's own");
                }),
                "the body's own");
        assertEquals(2, calls().get("cuGraphDestroy"), () -> calls().toString());
    }

    @Test
    void aGraphThatCannotBeMadeLeavesNothing() {
        Tensor p = cuda.tensor(floats(1)), g = cuda.tensor(floats(1)), closed = cuda.zeros(1000);
        Optimizer sgd = cuda.optimizer(Sgd.of(1));
        sgd.update(p, g);
        long before = cuda.allocated();
        ask("fail cuGraphInstantiateWithFlags:1:2");
        refused(
                CudaException.class,
                () -> cuda.capture(() -> {
                    sgd.update(p, g);
                    closed.close();
                }),
                "cuGraphInstantiate",
                "memory is full");
        assertEquals(before - 4000, cuda.allocated(), "what the body closed is freed");
        sgd.update(p, g);
        assertEquals(-1, p.get()[0]);
    }

    /** Whichever of its tensors, kernels' pages, reads' pages and events cannot be had; and all of them once more, where it can be made. */
    @ParameterizedTest
    @ValueSource(strings = {"cuMemAlloc:%d:2", "cuMemAllocHost:%d:2", "cuEventCreate:%d:1", "cuMemsetD32Async:%d:1"})
    void aNetworkThatCannotBeMadeOrIsClosedLeavesNothing(String failure) {
        makeNetwork().run(); // compiles, and makes cuBLAS
        finish();
        int live = ask("live").getAsJsonArray().size(), failures = 0;
        for (int n = 1; n <= 100; n++, failures++) {
            ask("reset");
            ask("fail " + String.format(failure, n));
            Runnable network = makeNetwork();
            try {
                network.run();
                break;
            } catch (CudaException e) {
                assertTrue(e.getMessage().contains(failure.replaceFirst(":.*", "")), e.getMessage());
            }
            assertEquals(live, ask("live").getAsJsonArray().size(), "after failure " + n);
            assertMadeAndFreed("cuMemAllocHost", "cuMemFreeHost", failure);
            assertMadeAndFreed("cuEventCreate", "cuEventDestroy", failure);
        }
        assertTrue(failures > 1 && failures < 100, failures + " failures");
        ask("reset");
        makeNetwork().run();
        assertEquals(live, ask("live").getAsJsonArray().size());
        assertMadeAndFreed("cuMemAllocHost", "cuMemFreeHost", "nothing");
        assertMadeAndFreed("cuEventCreate", "cuEventDestroy", "nothing");
    }

    /** Makes samples and a network, has it do all that takes memory, and closes both. */
    private Runnable makeNetwork() {
        return () -> {
            try (Samples samples = GraphTest.samples(cuda);
                    Network net = new Network(cuda, Init.HE, SEED, 6, 5, 3)) {
                net.gradient(samples, new int[] {1, 2}, 2);
                net.gradient(samples, new int[] {1, 2, 3}, 3);
                net.evaluate(samples);
            }
        };
    }

    /** As many, but for a call that failed, which is counted, too. */
    private static void assertMadeAndFreed(String made, String freed, String failure) {
        long failed = failure.startsWith(made + ":") ? 1 : 0;
        assertEquals(calls().getOrDefault(made, 0L) - failed, calls().getOrDefault(freed, 0L), made + ", " + freed);
    }

    /** As every sample of JCuda begins. */
    @ParameterizedTest
    @ValueSource(strings = {"cuMemcpyHtoDAsync:1:1", "cublasGemmEx:1:13"})
    void aNetworksCallsThatFailSayTheSameWhereJCudaThrows(String failure) {
        Network net = new Network(cuda, Init.HE, SEED, 6, 5, 3);
        Samples samples = GraphTest.samples(cuda);
        List<String> said = new ArrayList<>();
        for (boolean throwing : new boolean[] {false, true}) {
            ask("reset");
            ask("fail " + failure);
            JCudaDriver.setExceptionsEnabled(throwing);
            JCublas2.setExceptionsEnabled(throwing);
            try {
                said.add(assertThrows(CudaException.class, () -> net.gradient(samples, new int[] {1}, 1))
                        .getMessage());
            } finally {
                JCudaDriver.setExceptionsEnabled(false);
                JCublas2.setExceptionsEnabled(false);
            }
        }
        assertEquals(said.get(0), said.get(1));
    }

    // ---- several devices, and somebody else's stream ----

    @Test
    void aStreamHandedInIsUsedInItsOrderAndLeftAlone() {
        cuda.enter();
        CUstream theirs = new CUstream();
        CudaException.must(JCudaDriver.cuStreamCreate(theirs, 1), "cuStreamCreate");
        CUdeviceptr memory = new CUdeviceptr();
        CudaException.must(JCudaDriver.cuMemAlloc(memory, 8), "cuMemAlloc");
        try (CudaEngine engine = CudaEngine.open(0, theirs)) {
            assertEquals(theirs, engine.stream());
            Tensor p = engine.wrap(memory, 2), g = engine.tensor(floats(3, 4));
            // Their work, the step, and their work again: nothing waits, and all is done in this order.
            JCudaDriver.cuMemsetD32Async(memory, Float.floatToRawIntBits(8), 2, theirs);
            engine.optimizer(Sgd.of(1)).update(p, g);
            float[] seen = new float[2];
            JCudaDriver.cuMemcpyDtoHAsync(Pointer.to(seen), memory, 8, theirs);
            JCudaDriver.cuStreamSynchronize(theirs);
            assertSameBits(floats(5, 4), seen);
            engine.optimizer(Sgd.of(1)).update(p, g); // on its way as the engine is closed
        }
        float[] seen = new float[2];
        assertEquals(0, JCudaDriver.cuMemcpyDtoHAsync(Pointer.to(seen), memory, 8, theirs));
        assertEquals(0, JCudaDriver.cuStreamSynchronize(theirs));
        assertSameBits(floats(2, 0), seen);
        assertEquals(0, JCudaDriver.cuStreamDestroy(theirs));
        assertEquals(0, JCudaDriver.cuMemFree(memory));
        cuda.leave();
    }

    @Test
    void aStreamOfAnotherContextIsRefused() {
        CUstream foreign = new CUstream();
        JCudaDriver.cuCtxPushCurrent(control.aside());
        CudaException.must(JCudaDriver.cuStreamCreate(foreign, 1), "cuStreamCreate");
        JCudaDriver.cuCtxPopCurrent(new CUcontext());
        refused(
                IllegalArgumentException.class,
                () -> CudaEngine.open(0, foreign),
                "stream",
                "primary context of cuda:0");
        JCudaDriver.cuCtxPushCurrent(control.aside());
        assertEquals(0, JCudaDriver.cuStreamDestroy(foreign));
        JCudaDriver.cuCtxPopCurrent(new CUcontext());
    }

    @Test
    void enginesOnTwoDevicesServeOneThread() {
        try (CudaEngine other = Engine.cuda(1)) {
            Tensor p = cuda.tensor(floats(1)),
                    g = cuda.tensor(floats(2)),
                    q = other.tensor(floats(3)),
                    h = other.tensor(floats(4));
            Optimizer here = cuda.optimizer(Sgd.of(1)), there = other.optimizer(Sgd.of(1));
            for (int t = 0; t < 3; t++) {
                here.update(p, g);
                there.update(q, h);
            }
            assertEquals(-5, p.get()[0]);
            assertEquals(-9, q.get()[0]);
            refused(IllegalArgumentException.class, () -> here.update(p, h), "cuda:0", "cuda:1");
        }
        assertEquals("[]", ask("errors").toString());
    }

    @Test
    void callsWithinCallsOfAnotherDevicesEngineStayOnTheirOwn() {
        try (CudaEngine other = Engine.cuda(1)) {
            Optimizer sgd = cuda.optimizer(Sgd.of(1));
            cuda.inContext(() -> other.inContext(() -> {
                Tensor p = cuda.tensor(floats(1)), g = cuda.tensor(floats(2));
                sgd.update(p, g);
                assertEquals(-1, p.get()[0]);
                assertEquals(3, other.tensor(floats(3)).get()[0]);
            }));
        }
    }

    // ---- kernels of one's own ----

    private static final String SCALE = """
            extern "C" __global__ void scale(float* x, float by, double plus, int n) {
              int i = blockIdx.x * blockDim.x + threadIdx.x;
              if (i < n) x[i] = x[i] * by + plus;
            }
            """;

    @Test
    void aKernelOfOnesOwnRunsInOrderWithTheEnginesWork() {
        Tensor x = cuda.tensor(floats(1, 2, 3));
        CudaKernel scale = cuda.kernel("scale.cu", SCALE, "scale");
        scale.set(0, x).set(1, 2f).set(2, 0.5).set(3, 2).launch(1, 256);
        scale.set(1, 10f).launch(1, 256); // the others stay
        scale.launch(0, 256);
        assertSameBits(floats(25.5, 45.5, 3), x.get());
        assertEquals("scale.cu: scale", scale.toString());

        refused(CudaException.class, () -> cuda.kernel("scale.cu", SCALE, "shrink"), "scale.cu: shrink", "NOT_FOUND");
        refused(CudaException.class, () -> cuda.kernel("b.cu", "int b = c;", "b"), "b.cu", "   1  int b = c;");
        refused(IllegalArgumentException.class, () -> scale.set(16, 1), "from 0 to 15", "16");
        refused(IllegalArgumentException.class, () -> scale.set(0, cpu.zeros(1)), "expected a tensor of this engine");
        refused(CudaException.class, () -> scale.launch(1, 5000), "scale.cu", "1 blocks of 5000");
        ask("reset"); // forgets that report
        refused(CudaException.class, () -> scale.launch(1L << 31, 1), "2147483648 blocks");
        cuda.close();
        refused(IllegalStateException.class, () -> scale.launch(1, 1), "closed");
        refused(IllegalStateException.class, () -> scale.set(0, 1), "closed");
    }

    // ---- what is left ----

    @Test
    void enginesOpenedAndClosedAgainAndAgainLeaveNothing() {
        cuda.close();
        ask("reset");
        for (int n = 0; n < 50; n++) {
            try (CudaEngine engine = Engine.cuda(0)) {
                Map<String, Tensor> p = set(engine, 3, 8, 1030), g = set(engine, 3, 8, 1030);
                Optimizer adam = engine.optimizer(t -> Adam.of(0.1 / t)), sgd = engine.optimizer(Sgd.of(0.1));
                Optimizer adagrad = engine.optimizer(AdaGrad.of());
                for (Optimizer optimizer : new Optimizer[] {adam, sgd, adagrad}) {
                    optimizer.update(p, g);
                    optimizer.update(Map.of("W1", p.get("W1")), Map.of("W1", g.get("W1")));
                    optimizer.update(p.get("W2"), g.get("W2"));
                }
                adam.resume(5, Map.of("W0", adam.state("W0")));
                adam.update(p, g);
                engine.optimizer(Sgd.of(0.1)).guard(Guard.clipNorm(1)).update(p, g);
                p.get("W0").asyncRead().start();
                if (n < 3) engine.cublas();
            }
            assertEquals("[]", ask("live").toString());
        }
        Map<String, Long> calls = calls(); // not all that they make is memory
        for (String[] pair : new String[][] {
            {"cuStreamCreate", "cuStreamDestroy"},
            {"cuEventCreate", "cuEventDestroy"},
            {"cuMemAllocHost", "cuMemFreeHost"},
            {"cublasCreate", "cublasDestroy"},
            {"cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease"}
        }) {
            assertTrue(calls.get(pair[0]) > 0, pair[0]);
            assertEquals(calls.get(pair[0]), calls.get(pair[1]), pair[0] + ", " + pair[1]);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void setsOfTensorsThatComeInTurnsCostNoMemoryAndNoWait(boolean clips) {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8);
        Map<String, Tensor> p1 = Map.of("W1", p.get("W1")), g1 = Map.of("W1", g.get("W1"));
        Optimizer adam = cuda.optimizer(Adam.of());
        if (clips) adam.guard(Guard.clipNorm(1));
        adam.update(p, g);
        long before = cuda.allocated();
        int live = ask("live").getAsJsonArray().size();
        for (int t = 0; t < 20; t++) {
            adam.update(p1, g1);
            adam.update(p, g);
            if (t > 0) continue;
            before = cuda.allocated(); // both are kept laid out
            live = ask("live").getAsJsonArray().size();
            ask("reset");
        }
        assertEquals(before, cuda.allocated());
        assertEquals(live, ask("live").getAsJsonArray().size());
        assertEquals(Set.of(), memoryAndWaits(), "calls");
    }

    /** Gradients wrapped anew in every step, as they come from elsewhere: at the same address that is nothing, at another a copy of the table. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void tensorsWrappedAnewCostNothingWhereTheyWereAndACopyElsewhere(boolean clips) {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8), h = set(cuda, 3, 8);
        Optimizer adam = cuda.optimizer(Adam.of());
        if (clips) adam.guard(Guard.clipNorm(1));
        adam.update(p, g);
        ask("reset");
        for (int t = 0; t < 10; t++) adam.update(wrapped(p), wrapped(g));
        for (int t = 0; t < 10; t++) adam.update(Map.copyOf(wrapped(p)), Map.copyOf(wrapped(g)));
        assertEquals(null, calls().get("cuMemcpyHtoDAsync"));
        assertEquals(Set.of(), memoryAndWaits());
        finish();
        ask("reset");
        for (int t = 0; t < 10; t++) adam.update(wrapped(p), wrapped(t % 2 == 0 ? h : g));
        assertEquals(10, calls().get("cuMemcpyHtoDAsync"));
        assertEquals(10, calls().get("cuEventSynchronize"), "for the copy before the last");
        assertEquals(clips ? 14 : 7, control.launches(), "launches that have run: those before the eighth copy");
        assertEquals(Set.of(), memoryAndWaits());
    }

    @Test
    void wrappersThatAreClosedAfterEveryStepCostNoMemoryAndNoWait() {
        Map<String, Tensor> p = set(cuda, 3, 8), g = set(cuda, 3, 8);
        Optimizer adam = cuda.optimizer(Adam.of());
        Map<String, Tensor> first = wrapped(g); // for which it was laid out
        adam.update(p, first);
        first.values().forEach(Tensor::close);
        ask("reset");
        for (int t = 0; t < 10; t++) {
            Map<String, Tensor> grads = wrapped(g);
            adam.update(p, grads);
            grads.values().forEach(Tensor::close);
        }
        assertEquals(null, calls().get("cuMemcpyHtoDAsync"));
        assertEquals(Set.of(), memoryAndWaits());
    }

    private Map<String, Tensor> wrapped(Map<String, Tensor> tensors) {
        Map<String, Tensor> anew = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> anew.put(name, cuda.wrap(cuda.pointer(tensor), tensor.shape())));
        return anew;
    }

    /** Tensors of the same names and other shapes: a larger table takes the smaller one's place, and keeps it. */
    @Test
    void aLayoutThatGrowsLeavesNothingOfTheSmallerAndShrinksInPlace() {
        Map<String, Tensor> p = set(cuda, 3), g = set(cuda, 3), q = set(cuda, 40_000), h = set(cuda, 40_000);
        Optimizer grown = cuda.optimizer(Sgd.of(1)), large = cuda.optimizer(Sgd.of(1));
        long before = cuda.allocated();
        large.update(q, h);
        long most = cuda.allocated() - before;
        grown.update(p, g);
        grown.update(q, h);
        assertEquals(before + 2 * most, cuda.allocated());
        ask("reset");
        grown.update(p, g);
        grown.update(q, h);
        assertEquals(Set.of(), memoryAndWaits());
    }

    /** While the engine goes on: its own end would free what they had left. */
    @Test
    void whatIsClosedGivesBackItsEventsAndItsPages() {
        Map<String, Tensor> p = set(cuda, 3), g = set(cuda, 3);
        cuda.optimizer(Sgd.of(1)).update(p, g); // what the engine itself makes once
        finish();
        ask("reset");
        Optimizer sgd = cuda.optimizer(Sgd.of(1)).guard(Guard.skipNonFinite());
        sgd.update(p, g);
        AsyncRead read = p.get("W0").asyncRead();
        read.start();
        read.close();
        sgd.close();
        Map<String, Long> calls = calls();
        assertTrue(calls.get("cuEventCreate") >= 3, calls::toString);
        assertEquals(calls.get("cuEventCreate"), calls.get("cuEventDestroy"), calls::toString);
        assertEquals(calls.get("cuMemAllocHost"), calls.get("cuMemFreeHost"), calls::toString);
    }

    @Test
    void noMoreThanEightSetsAreKeptLaidOut() {
        Optimizer sgd = cuda.optimizer(Sgd.of(1));
        Map<String, Tensor> p = set(cuda, IntStream.range(1, 40).toArray()),
                g = set(cuda, IntStream.range(1, 40).toArray());
        long[] after = new long[40];
        for (int n = 0; n < 39; n++) {
            String name = "W" + n;
            sgd.update(Map.of(name, p.get(name)), Map.of(name, g.get(name)));
            after[n] = cuda.allocated();
        }
        assertTrue(after[7] > after[6]);
        for (int n = 9; n < 39; n++) assertEquals(after[8], after[n]);
    }

    /** The page that the copy goes to is not freed before; the tensor, and the next read of it, are as they were. */
    @Test
    void aReadThatIsClosedBeforeItHasArrivedIsWaitedFor() {
        Tensor tensor = cuda.tensor(floats(1, 2, 3));
        for (int n = 0; n < 3; n++) {
            AsyncRead read = tensor.asyncRead();
            read.start();
            assertEquals(null, calls().get("cuEventSynchronize"));
            read.close();
            assertEquals(1, calls().get("cuEventSynchronize"));
            ask("reset");
        }
        finish();
        assertSameBits(floats(1, 2, 3), tensor.get());
    }

    // ---- beyond 2^32 ----

    @ParameterizedTest
    @ValueSource(longs = {5_000_000_003L, 1L << 33})
    void chunksOfMoreThanFourBillionElementsLieEndToEnd(long size) {
        long[] bases = {0x7f00_0000_0000L, 0x7e00_0000_0004L, 0x7d00_0000_0000L, 0x7c00_0000_0000L};
        Tensor[] t = Arrays.stream(bases)
                .mapToObj(base -> new CudaTensor(cuda, JCudaAddress.pointer(base), false, Dtype.F32, new long[] {size}))
                .toArray(Tensor[]::new);
        int row = 2 + bases.length;
        Plan plan = new Plan(
                new Tensor[] {t[0]},
                new Tensor[] {t[1]},
                new Tensor[][] {{t[2], t[3]}},
                new int[] {7},
                new Types[] {Types.FLOAT32},
                new long[1]);
        LongBuffer buffer = LongBuffer.allocate(row << 20);
        CudaDriver.putChunks(buffer, plan, 0, CudaDriver.chunkSize(132 * 8L, size), new CudaDriver.Row(0, 2, 0, 0), 0);
        long[] words = Arrays.copyOf(buffer.array(), buffer.position());
        assertEquals(0, words.length % row);
        long done = 0;
        for (int at = 0; at < words.length; at += row) {
            for (int n = 0; n < bases.length; n++) assertEquals(bases[n] + 4 * done, words[at + 1 + n]);
            assertEquals(7L << 32, words[at + row - 1], "tensor 0 of group 7");
            assertTrue(words[at] > 0 && (words[at] % 4 == 0 || at + row == words.length), "count " + words[at]);
            done += words[at];
        }
        assertEquals(size, done);
    }

    @Test
    void aTensorOfMoreThanFourBillionElementsIsAskedForInWholeBytes() {
        refused(
                CudaException.class,
                () -> cuda.zeros(1 << 22, 1 << 22),
                "[4194304, 4194304]",
                "cuMemAlloc of 70368744177664 bytes");
    }
}
