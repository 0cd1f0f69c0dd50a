package kudari;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuDriverGetVersion;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuMemGetInfo;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;
import static kudari.CudaException.must;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import jcuda.driver.CUdevice;
import jcuda.driver.CUevent;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import kudari.data.Sampler;
import kudari.nn.Init;
import kudari.nn.Network;
import kudari.nn.Samples;
import kudari.rule.Adam;

/**
 * Times optimizer steps on a CUDA device, back to back between two events, and prints a line of CSV for every region; {@code gpu-check} runs it. The
 * protocol is in {@code results/README.md}; what is in {@code src/test/python} does the same with PyTorch and optax.
 *
 * <p>{@code facts} prints what it runs on; {@code work} what is to be timed, in order; {@code copy} times the copy alone; {@code CONTENDER steps ROUND
 * SECONDS} times what it can in that time, {@code CONTENDER network ROUND SECONDS} the training of a network. A contender is {@code kudari}, or {@code
 * kudari-graph}, which launches captured steps. {@code -Dkudari.sizes=small} is for rehearsals.
 */
final class DeviceBench {

    static final String HEADER = "contender,round,rule,shape,tensors,parameters,region,steps,device_us,host_us,note";

    /** Our contenders, by their names in the first column. */
    static final String PLAIN = "kudari", GRAPH = "kudari-graph";

    private static final boolean SMALL =
            System.getProperty("kudari.sizes", "full").equals("small");
    private static final List<String> SHAPES = SMALL ? Workload.SMALL : Workload.SHAPES;

    /** How long a region lasts at least; how many are discarded, how many kept. */
    private static final double REGION_MS = SMALL ? 1 : 20;

    private static final int DISCARDED = SMALL ? 1 : 3, KEPT = SMALL ? 2 : 10;

    /** Floats of the copy: 1 GB read and 1 GB written. */
    private static final int COPY = SMALL ? 10_000 : 250_000_000;

    /** Up to so many parameters, copies of all tensors take turns, lest they stay in the L2. */
    private static final int ROTATE_TO = 10_000_000, COPIES = 3;

    /**
     * Steps of a region whose calls are timed on the host: so few that the device's queue, of some thousand entries, takes them at once. A step of
     * the network is some thirty entries.
     */
    private static final int HOST_STEPS = 100, HOST_NETWORK_STEPS = 20;

    /** What the comparison trains, and its names in the first columns: a whole step, and all of it but the optimizer's part. */
    private static final int[] WIDTHS = {784, 100, 100, 100, 100, 10};

    private static final int BATCH = 128, SAMPLES = SMALL ? 300 : 60_000;
    static final String NETWORK = "network", GRADIENT = "network gradient", NETWORK_SHAPE = "784-100x4-10 batch 128";

    /** Random numbers from −½ to ½, for zeros may be cheaper. */
    private static final String FILL = """
            extern "C" __global__ void fill(float* x, long long n, unsigned seed) {
              long long stride = (long long)gridDim.x * blockDim.x;
              for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
                unsigned h = ((unsigned)i + seed) * 0x9E3779B1u;
                h = (h ^ h >> 15) * 0x85EBCA77u;
                h = (h ^ h >> 13) * 0xC2B2AE3Du;
                x[i] = (float)(h >> 8) / 16777216.0f - 0.5f;
              }
            }
            """;

    /** Whose context the calls of CUDA in here need; an update makes it current by itself. */
    private final CudaEngine held;

    private final String contender;
    private final int round;
    private final CUevent from = new CUevent(), to = new CUevent();
    private int seed;

    /** Whether there is a cuBLAS to multiply matrices. */
    private boolean multiplies;

    private DeviceBench(CudaEngine held, String contender, int round) {
        this.held = held;
        this.contender = contender;
        this.round = round;
        held.inContext(() -> {
            must(cuEventCreate(from, 0), "cuEventCreate");
            must(cuEventCreate(to, 0), "cuEventCreate");
            multiplies = !cublas().startsWith("NONE");
        });
    }

    public static void main(String[] args) {
        String what = args.length == 0 ? "" : args[0];
        if (what.equals("work")) {
            for (Workload work : Workload.all(SHAPES))
                System.out.println(work.rule() + "\t" + work.shape() + "\t" + work.runs());
            return;
        }
        // Held open, so that the device's context is made once and not for every line.
        try (CudaEngine held = (CudaEngine) Engines.open()) {
            switch (what) {
                case "facts" -> held.inContext(() -> facts(held));
                case "copy" -> new DeviceBench(held, PLAIN, 0).copy("before");
                case PLAIN, GRAPH -> run(held, what, args);
                default -> throw usage(args);
            }
        }
    }

    private static void run(CudaEngine held, String contender, String[] args) {
        if (args.length != 4) throw usage(args);
        DeviceBench bench = new DeviceBench(held, contender, Integer.parseInt(args[2]));
        double seconds = Double.parseDouble(args[3]);
        switch (args[1]) {
            case "steps" -> bench.steps(seconds);
            case "network" -> bench.network(seconds);
            default -> throw usage(args);
        }
    }

    private static IllegalArgumentException usage(String[] args) {
        return new IllegalArgumentException("expected facts, work, copy, or " + PLAIN + " or " + GRAPH
                + " and steps ROUND SECONDS or network ROUND SECONDS, got " + String.join(" ", args));
    }

    // ---- What it runs on ----

    private static void facts(CudaEngine engine) {
        int[] version = new int[1];
        long[] free = new long[1], total = new long[1];
        must(cuDriverGetVersion(version), "cuDriverGetVersion");
        must(cuMemGetInfo(free, total), "cuMemGetInfo");
        Nvrtc.load();
        fact("engine", engine.toString());
        fact("driver's CUDA", version[0] / 1000 + "." + version[0] % 1000 / 10);
        fact(
                "compute capability",
                attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) + "."
                        + attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
        fact("multiprocessors", "" + attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
        fact("L2", attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE) + " bytes");
        fact("memory", free[0] + " of " + total[0] + " bytes free");
        fact("NVRTC", Nvrtc.version());
        fact("Java", System.getProperty("java.vendor") + " " + System.getProperty("java.version"));
        fact("processors", "" + Runtime.getRuntime().availableProcessors());
        fact("cuBLAS", cublas());
    }

    private static void fact(String name, String value) {
        System.out.println(name + ": " + value);
    }

    private static int attribute(int attribute) {
        CUdevice device = new CUdevice();
        int[] value = new int[1];
        must(cuDeviceGet(device, 0), "cuDeviceGet");
        must(cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
        return value[0];
    }

    private static String cublas() {
        try {
            cublasHandle handle = new cublasHandle();
            int[] version = new int[1];
            int created = JCublas2.cublasCreate(handle), asked = JCublas2.cublasGetVersion(handle, version);
            JCublas2.cublasDestroy(handle);
            return created == 0 && asked == 0 ? "version " + version[0] : "NONE: status " + created + ", " + asked;
        } catch (LinkageError e) {
            return "NONE: "
                    + e.getMessage()
                            .lines()
                            .filter(line -> line.contains("libcublas"))
                            .findFirst()
                            .orElse("no libcublas.so.12");
        }
    }

    // ---- What is timed ----

    private void copy(String when) {
        try (CudaEngine engine = (CudaEngine) Engines.open()) {
            Tensor a = random(engine, COPY), b = random(engine, COPY);
            var source = engine.pointer(a);
            var target = engine.pointer(b);
            time(
                    engine,
                    "copy",
                    when,
                    1,
                    COPY,
                    HOST_STEPS,
                    () -> engine.inContext(() ->
                            must(cuMemcpyDtoDAsync(target, source, 4L * COPY, engine.stream()), "cuMemcpyDtoDAsync")));
        }
    }

    private void steps(double seconds) {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        copy("before");
        for (Workload work : Workload.all(SHAPES)) {
            if (contender.equals(GRAPH) && !work.inGraph()) continue;
            if (System.nanoTime() > end) leaveOut(work, "time");
            else if (!fits(work)) leaveOut(work, "memory");
            else if (work.multiplies() && !multiplies) leaveOut(work, "no cuBLAS");
            else time(work);
        }
        copy("after");
    }

    private void leaveOut(Workload work, String why) {
        print(work.rule(), work.shape(), work.sizes().length, work.parameters(), 0, 0, "", "", "left out: " + why);
    }

    private static int copies(Workload work) {
        return work.parameters() <= ROTATE_TO ? COPIES : 1;
    }

    private boolean fits(Workload work) {
        long[] free = new long[1], total = new long[1];
        held.inContext(() -> must(cuMemGetInfo(free, total), "cuMemGetInfo"));
        // And, of 16 bits, random numbers in float32 on their way into one tensor.
        long most = work.dtype() == Dtype.F32
                ? 0
                : 4L * Arrays.stream(work.sizes()).max().getAsInt();
        return 1.05 * (work.memory() * (double) copies(work) * work.parameters() + most) < free[0];
    }

    private void time(Workload work) {
        try (CudaEngine engine = (CudaEngine) Engines.open()) {
            Runnable[] copies = new Runnable[copies(work)];
            for (int n = 0; n < copies.length; n++) copies[n] = step(engine, work);
            Runnable inTurns = new Runnable() {
                private int next;

                @Override
                public void run() {
                    copies[next].run();
                    next = next + 1 == copies.length ? 0 : next + 1;
                }
            };
            time(engine, work.rule(), work.shape(), work.sizes().length, work.parameters(), HOST_STEPS, inTurns);
        }
    }

    private Runnable step(CudaEngine engine, Workload work) {
        Map<String, Tensor> params = new LinkedHashMap<>(), grads = new LinkedHashMap<>();
        for (int size : work.sizes()) {
            String name = "W" + params.size();
            params.put(name, random(engine, work.dtype(), work.extents(size)));
            grads.put(name, random(engine, work.dtype(), work.extents(size)));
        }
        Optimizer optimizer = optimizer(engine, work);
        return launched(engine, () -> optimizer.update(params, grads));
    }

    static Optimizer optimizer(Engine engine, Workload work) {
        Optimizer optimizer = engine.optimizer(Group.rest(work.of()).master(work.master()));
        if (work.clips()) optimizer.guard(Guard.clipNorm(1));
        if (work.scales())
            optimizer.lossScale(engine.lossScale(LossScaling.dynamic().initial(1)));
        return optimizer;
    }

    /** The body, or the launch of a graph of it; recorded after a first run, as {@link Engine#capture} asks. */
    private Runnable launched(CudaEngine engine, Runnable body) {
        if (contender.equals(PLAIN)) return body;
        body.run();
        return engine.capture(body)::launch;
    }

    private void network(double seconds) {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        try (CudaEngine engine = (CudaEngine) Engines.open()) {
            Network net = new Network(engine, Init.HE, 1, WIDTHS);
            Samples samples = samples(engine);
            Sampler batches = Sampler.random(SAMPLES, BATCH, 1);
            Optimizer adam = engine.optimizer(Adam.of());
            Runnable load = () -> net.load(samples, batches.next(), BATCH);
            load.run();
            Runnable step = launched(engine, () -> {
                net.gradient();
                adam.update(net.params(), net.grads());
            });
            Runnable gradient = launched(engine, net::gradient);
            network(engine, end, NETWORK, net.params(), both(load, step));
            network(engine, end, GRADIENT, net.params(), both(load, gradient));
        }
    }

    private static Runnable both(Runnable first, Runnable second) {
        return () -> {
            first.run();
            second.run();
        };
    }

    private void network(CudaEngine engine, long end, String what, Map<String, Tensor> params, Runnable step) {
        long parameters = params.values().stream().mapToLong(Tensor::size).sum();
        if (System.nanoTime() < end) {
            time(engine, what, NETWORK_SHAPE, params.size(), parameters, HOST_NETWORK_STEPS, step);
        } else print(what, NETWORK_SHAPE, params.size(), parameters, 0, 0, "", "", "left out: time");
    }

    /** Noise and chance labels: what a step takes does not depend on what there is to learn. */
    private static Samples samples(CudaEngine engine) {
        Random random = new Random(1);
        float[] x = new float[SAMPLES * WIDTHS[0]];
        for (int i = 0; i < x.length; i++) x[i] = random.nextFloat();
        int classes = WIDTHS[WIDTHS.length - 1];
        return new Samples(engine, x, random.ints(SAMPLES, 0, classes).toArray());
    }

    private Tensor random(CudaEngine engine, Dtype dtype, long... extents) {
        Tensor random = random(engine, extents);
        if (dtype == Dtype.F32) return random;
        try (random) {
            Tensor tensor = engine.zeros(dtype, extents);
            tensor.set(random);
            return tensor;
        }
    }

    private Tensor random(CudaEngine engine, long... extents) {
        Tensor tensor = engine.zeros(extents);
        long size = tensor.size();
        CudaKernel fill = engine.kernel("fill.cu", FILL, "fill");
        fill.set(0, tensor).set(1, tensor.size()).set(2, (long) (seed += 0x632BE5AB));
        fill.launch((int) Math.min((size + 255) / 256, 4096), 256);
        return tensor;
    }

    // ---- How it is timed ----

    private void time(
            CudaEngine engine, String rule, String shape, int tensors, long parameters, int hostSteps, Runnable step) {
        int steps = 1;
        while (steps < 1 << 20 && region(engine, step, steps, hostSteps)[0] * steps < 1e3 * REGION_MS) steps *= 2;
        for (int n = 0; n < DISCARDED; n++) {
            // What began slowly, before it was compiled, needs more steps by now.
            double[] us = region(engine, step, steps, hostSteps);
            steps = Math.max(steps, (int) Math.ceil(1e3 * REGION_MS / us[0]));
        }
        for (int n = 1; n <= KEPT; n++) {
            double[] us = region(engine, step, steps, hostSteps);
            print(rule, shape, tensors, parameters, n, steps, us(us[0]), us(us[1]), "");
        }
        System.out.flush();
    }

    /** Microseconds for a step on the device, and of a call on the host. */
    private double[] region(CudaEngine engine, Runnable step, int steps, int hostSteps) {
        int watched = Math.min(steps, hostSteps);
        held.inContext(() -> must(cuEventRecord(from, engine.stream()), "cuEventRecord"));
        long start = System.nanoTime();
        for (int n = 0; n < watched; n++) step.run();
        double host = System.nanoTime() - start;
        for (int n = watched; n < steps; n++) step.run();
        float[] ms = new float[1];
        held.inContext(() -> {
            must(cuEventRecord(to, engine.stream()), "cuEventRecord");
            must(cuEventSynchronize(to), "cuEventSynchronize");
            must(cuEventElapsedTime(ms, from, to), "cuEventElapsedTime");
        });
        return new double[] {1e3 * ms[0] / steps, host / 1e3 / watched};
    }

    private static String us(double us) {
        return String.format(Locale.ROOT, "%.4f", us);
    }

    private void print(
            String rule,
            String shape,
            int tensors,
            long parameters,
            int region,
            int steps,
            String device,
            String host,
            String note) {
        System.out.println(String.join(
                ",",
                contender,
                "" + round,
                rule,
                shape,
                "" + tensors,
                "" + parameters,
                "" + region,
                "" + steps,
                device,
                host,
                note));
    }
}
