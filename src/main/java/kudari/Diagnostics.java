package kudari;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuDeviceGetCount;
import static jcuda.driver.JCudaDriver.cuDeviceGetName;
import static jcuda.driver.JCudaDriver.cuDeviceTotalMem;
import static jcuda.driver.JCudaDriver.cuMemGetInfo;
import static kudari.CudaException.must;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import jcuda.driver.CUdevice;
import jcuda.runtime.JCuda;
import kudari.io.PrivateFolder;
import kudari.rule.Adam;

/**
 * Looks at all that the CUDA engine needs, piece by piece, and says for every problem how to fix it. It throws nothing, whatever it finds.
 *
 * <pre>{@code
 * Diagnostics.cuda().forEach(System.out::println);
 * }</pre>
 */
public final class Diagnostics {

    /** The driver that the engine asks for. */
    private static final int CUDA = 12060;

    private static final int NO_DEVICE = 100;

    private Diagnostics() {}

    /** How it stands with a piece. */
    public enum Status {
        /** It works. */
        OK("ok"),
        /** It is not there. */
        ABSENT("--"),
        /** It is there and does not work, or is needed and not there. */
        BROKEN("!!");

        private final String text;

        Status(String text) {
            this.text = text;
        }

        /** Two characters: {@code ok}, {@code --} or {@code !!}. */
        @Override
        public String toString() {
            return text;
        }
    }

    /**
     * What was found out about one piece.
     *
     * @param status how it stands
     * @param name the component
     * @param detail what was found, in one line
     * @param fix how to fix it, in a sentence; empty where there is nothing to fix
     */
    public record Check(Status status, String name, String detail, String fix) {

        /**
         * What a probe finds out, be it that it throws.
         *
         * @param name the component
         * @param there whether the piece is there, so that a failure means that it is broken
         * @param fix how to fix it, where the failure does not say; empty where nobody knows
         * @param probe gives what to say of a piece that works
         */
        public static Check of(String name, boolean there, String fix, Callable<String> probe) {
            Status failed = there ? Status.BROKEN : Status.ABSENT;
            try {
                return new Check(Status.OK, name, probe.call(), "");
            } catch (CudaException e) {
                return new Check(failed, name, e.what(), e.fix().isEmpty() ? fix : e.fix());
            } catch (LinkageError e) {
                return new Check(failed, name, Libraries.reason(e), fix);
            } catch (Exception | OutOfMemoryError e) {
                String message = e.getMessage() == null ? e.toString() : e.getMessage();
                return new Check(failed, name, message.lines().findFirst().orElse(""), fix);
            }
        }

        /** One line, or two with how to fix it. */
        @Override
        public String toString() {
            String line = String.format("%s  %-11s  %s", status, name, detail);
            return fix.isEmpty() ? line : line + "\n" + " ".repeat(17) + sentence(fix);
        }

        private static String sentence(String text) {
            return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1) + ".";
        }
    }

    /** All that the CUDA engine needs. A problem with one piece hides no other. */
    public static List<Check> cuda() {
        List<Check> checks = new ArrayList<>();
        checks.add(Check.of("JCuda", true, "", Diagnostics::natives));
        boolean there = Libraries.isThere("libcuda.so.1");
        Check driver = Check.of("CUDA driver", there, "", Diagnostics::driver);
        checks.add(driver);

        List<Check> devices = new ArrayList<>();
        List<Integer> capabilities = new ArrayList<>(), open = new ArrayList<>();
        Check all = Check.of("devices", there, "see what nvidia-smi says of the driver and its devices", () -> {
            int count = count();
            for (int n = 0; n < count; n++) {
                int ordinal = n;
                devices.add(Check.of("cuda:" + n, true, "", () -> {
                    capabilities.add(capability(handle(ordinal)));
                    return device(ordinal, open);
                }));
            }
            return count + " found";
        });
        checks.addAll(devices);
        if (devices.isEmpty() && !all.detail().equals(driver.detail())) checks.add(all);

        checks.add(Check.of(
                "NVRTC",
                Libraries.isThere("libnvrtc.so.12") || Libraries.isThere("libnvrtc.so.13") || Nvrtc.isPacked(),
                "",
                () -> compiler(capabilities)));
        for (int ordinal : open) checks.add(Check.of("a step", true, "", () -> step(ordinal)));
        checks.add(Check.of(
                "cuBLAS",
                Libraries.isThere(Libraries.CUBLAS) || Libraries.isThere("libcublas.so.13"),
                "",
                () -> cublas(open)));
        checks.add(Check.of("cache", true, "", Diagnostics::cache));
        return checks;
    }

    /** JCuda's natives, by the one of them that needs no library of NVIDIA's. */
    private static String natives() throws IOException {
        Libraries.checkPlatform();
        try {
            Libraries.load(JCuda.class, "JCudaRuntime");
            return "its natives load, from " + PrivateFolder.openOrTemporary("natives");
        } catch (LinkageError e) {
            throw Libraries.natives(e);
        }
    }

    private static String driver() {
        int version = CudaEngine.driver("");
        String found = "for CUDA " + version / 1000 + "." + version % 1000 / 10;
        if (version >= CUDA) return found;
        throw new CudaException(
                found + ", which is too old: the engine needs one for CUDA 12.6 or later",
                "install a newer NVIDIA driver; what works below with this one may fail elsewhere");
    }

    private static int count() {
        CudaEngine.start("");
        int[] count = new int[1];
        must(cuDeviceGetCount(count), "cuDeviceGetCount");
        if (count[0] == 0) must(NO_DEVICE, "cuDeviceGetCount");
        return count[0];
    }

    private static CUdevice handle(int ordinal) {
        CUdevice device = new CUdevice();
        must(cuDeviceGet(device, ordinal), "cuDeviceGet(" + ordinal + ")");
        return device;
    }

    private static int capability(CUdevice device) {
        int[] major = new int[1], minor = new int[1];
        must(cuDeviceGetAttribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device), "cuDeviceGetAttribute");
        must(cuDeviceGetAttribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device), "cuDeviceGetAttribute");
        return 10 * major[0] + minor[0];
    }

    /** What there is to say of a device, which is put among those that opened if it does. */
    private static String device(int ordinal, List<Integer> open) {
        CUdevice device = handle(ordinal);
        byte[] name = new byte[256];
        must(cuDeviceGetName(name, name.length, device), "cuDeviceGetName");
        long[] total = new long[1], free = new long[1];
        must(cuDeviceTotalMem(total, device), "cuDeviceTotalMem");
        int capability = capability(device);
        String about =
                new String(name, StandardCharsets.UTF_8).replaceAll("\0.*", "").strip() + ", compute capability "
                        + capability / 10 + "." + capability % 10;
        try (Engine engine = new CudaEngine(ordinal, Optional.empty())) { // without asking for NVRTC
            engine.inContext(() -> must(cuMemGetInfo(free, total), "cuMemGetInfo"));
            open.add(ordinal);
        } catch (CudaException e) {
            throw new CudaException(about + ", " + size(total[0]) + ", cannot be opened: " + e.what(), e.fix());
        }
        String found = about + ", " + size(free[0]) + " of " + size(total[0]) + " free";
        if (free[0] >= total[0] / 2) return found;
        if (free[0] >= total[0] / 10) return found + ", in use by others";
        throw new CudaException(
                found,
                "other programs hold nearly all of its memory: see nvidia-smi, and close them or take another device");
    }

    /** Compiles a kernel, past the cache. */
    private static String compiler(List<Integer> capabilities) {
        String from = Nvrtc.load();
        int newest = Nvrtc.newestArchitecture();
        List<String> targets = (capabilities.isEmpty() ? Stream.of(newest) : capabilities.stream())
                .map(capability -> Nvrtc.options(Math.min(capability, newest), capability > newest))
                .peek(options -> Nvrtc.compile(Nvrtc.Source.of("adam.cu"), options))
                .map(options -> options[0].replaceFirst(".*=", ""))
                .distinct()
                .toList();
        return Nvrtc.version() + " from " + from + ", compiles for " + String.join(", ", targets);
    }

    private static String step(int ordinal) {
        try (Engine cuda = Engine.cuda(ordinal);
                Engine cpu = Engine.cpu(1)) {
            float[] expected = step(cpu), got = step(cuda);
            if (Arrays.equals(expected, got)) return "of Adam on " + cuda + " equals the CPU's, bit for bit";
            throw new CudaException(
                    "of Adam on " + cuda + ": expected " + Arrays.toString(expected) + " as on the CPU, got "
                            + Arrays.toString(got),
                    "do not use this device until you know why, and please report it");
        }
    }

    private static float[] step(Engine engine) {
        Tensor param = engine.tensor(new float[] {-7, 2, 1e-3f});
        engine.optimizer(Adam.of(0.3)).update(param, engine.tensor(new float[] {-0.7f, 4, 1e-20f}));
        return param.get();
    }

    /** Finds and loads it, and opens it on a device that opened. */
    private static String cublas(List<Integer> open) {
        Path library = Libraries.loadCublas(Libraries.folders());
        if (open.isEmpty()) return library.toString();
        try (CudaEngine cuda = new CudaEngine(open.get(0), Optional.empty())) {
            cuda.cublas();
            return library + ", opens on " + cuda;
        }
    }

    /** The folder where compiled kernels are kept: a megabyte is written to it and taken away again. */
    static String cache() {
        try {
            Path folder = KernelCache.folder();
            Path file = Files.createTempFile(folder, ".diagnostics", null);
            try {
                Files.write(file, new byte[1 << 20]);
            } finally {
                Files.delete(file);
            }
            // Asked of the folder itself: in a changed root, say, there is no table of mounts that would know its disk.
            return folder + ", " + size(folder.toFile().getUsableSpace()) + " of room on its disk";
        } catch (IOException e) {
            throw new CudaException(
                    "compiled kernels cannot be kept: " + e.getMessage(),
                    "make room there, or name a folder that only you can write to with -Dkudari.cache=FOLDER; without one every kernel is compiled anew");
        }
    }

    private static String size(long bytes) {
        return bytes < 1L << 30
                ? String.format(Locale.ROOT, "%.1f MB", bytes / 0x1p20)
                : String.format(Locale.ROOT, "%.1f GB", bytes / 0x1p30);
    }
}
