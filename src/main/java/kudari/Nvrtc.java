package kudari;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;
import jcuda.nvrtc.nvrtcResult;
import kudari.io.PrivateFolder;
import kudari.io.Say;

/** NVIDIA's run-time compiler: finds and loads it, and compiles kernels. */
final class Nvrtc {

    private static final Logger LOG = System.getLogger(Nvrtc.class.getName());

    /** One IEEE 754 operation for every operation in the source; never fast-math, never -ftz=true. */
    private static final List<String> EXACT = List.of("-fmad=false", "--std=c++17");

    private static final String LIBRARY = "libnvrtc.so.12";

    private static final String PACKED = "/org/bytedeco/cuda/linux-x86_64/";

    private Nvrtc() {}

    /**
     * A kernel's text.
     *
     * @param name of its file
     * @param text of the file
     * @param header the text of step.cuh, which it includes, and what stands before that
     */
    record Source(String name, String text, String header) {

        /** Before the header, for a text may be put together of several that include it. */
        private static final String ONCE = "#ifndef KUDARI_STEP\n#define KUDARI_STEP\n";

        static Source of(String name) {
            return of(name, resource(name));
        }

        static Source of(String name, String text) {
            String header = resource("conversion.cuh") + CudaDriver.LAYOUT + resource("step.cuh");
            return new Source(name, text, ONCE + header + "#endif\n");
        }

        private static String resource(String name) {
            try (InputStream in = Nvrtc.class.getResourceAsStream("/kudari/kernels/" + name)) {
                if (in == null) throw new IllegalStateException("kernels/" + name + " is not in the jar");
                return new String(in.readAllBytes(), UTF_8);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** What the compiler said and made. */
    record Result(byte[] code, String log) {}

    /** The machine code of a kernel for a device, or PTX for the driver to finish; from the cache if it is there. */
    static byte[] compile(Source source, int capability, boolean ptx) {
        load();
        int known = newestArchitecture();
        boolean virtual = ptx || capability > known;
        String[] options = options(Math.min(capability, known), virtual);
        KernelCache cache =
                KernelCache.of(source.name, source.text, source.header, String.join(" ", options), version());
        return cache.read().orElseGet(() -> {
            byte[] code = compile(source, options).code;
            cache.write(code);
            return code;
        });
    }

    static String[] options(int capability, boolean ptx) {
        String architecture = "--gpu-architecture=" + (ptx ? "compute_" : "sm_") + capability;
        return Stream.concat(Stream.of(architecture), EXACT.stream()).toArray(String[]::new);
    }

    /** Compiles, past the cache. */
    static Result compile(Source source, String... options) {
        load();
        nvrtcProgram program = new nvrtcProgram();
        check(() -> JNvrtc.nvrtcCreateProgram(
                program, source.text, source.name, 1, new String[] {source.header}, new String[] {"step.cuh"}));
        try {
            int code = code(() -> JNvrtc.nvrtcCompileProgram(program, options.length, options));
            String[] log = {""};
            check(() -> JNvrtc.nvrtcGetProgramLog(program, log));
            if (code != 0) {
                throw new CudaException("NVRTC " + version() + " cannot compile " + source.name + " with "
                        + String.join(" ", options) + ": " + JNvrtc.nvrtcGetErrorString(code) + "\n" + log[0].strip()
                        + "\n" + numbered(source.text));
            }
            long[] size = new long[1];
            if (code(() -> JNvrtc.nvrtcGetCUBINSize(program, size)) == 0 && size[0] > 0) {
                byte[] cubin = new byte[(int) size[0]];
                check(() -> JNvrtc.nvrtcGetCUBIN(program, cubin));
                return new Result(cubin, log[0]);
            }
            String[] ptx = new String[1];
            check(() -> JNvrtc.nvrtcGetPTX(program, ptx));
            return new Result((ptx[0] + "\0").getBytes(UTF_8), log[0]); // the driver reads text up to a zero
        } finally {
            code(() -> JNvrtc.nvrtcDestroyProgram(program));
        }
    }

    private static String numbered(String text) {
        // Without what we have put before it.
        int head = text.startsWith("#define ") ? text.indexOf(StepSource.LINES) : -1;
        String[] lines =
                text.substring(head < 0 ? 0 : head + StepSource.LINES.length()).split("\n");
        return String.join(
                "\n",
                IntStream.range(0, lines.length)
                        .mapToObj(n -> String.format("%4d  %s", n + 1, lines[n]))
                        .toList());
    }

    private static int code(CudaException.Call call) {
        return CudaException.code(call, nvrtcResult::stringFor, nvrtcResult.NVRTC_ERROR_INTERNAL_ERROR);
    }

    private static void check(CudaException.Call call) {
        int code = code(call);
        if (code != 0) throw new CudaException("NVRTC: " + JNvrtc.nvrtcGetErrorString(code));
    }

    /** As in {@code 12.9}. */
    static String version() {
        int[] major = new int[1], minor = new int[1];
        check(() -> JNvrtc.nvrtcVersion(major, minor));
        return major[0] + "." + minor[0];
    }

    static int newestArchitecture() {
        int[] count = new int[1];
        check(() -> JNvrtc.nvrtcGetNumSupportedArchs(count));
        int[] architectures = new int[count[0]];
        check(() -> JNvrtc.nvrtcGetSupportedArchs(architectures));
        return Arrays.stream(architectures).max().orElseThrow();
    }

    /** Where the library was loaded from; empty before. A process has one. */
    private static String from = "";

    /**
     * Loads the library, if it has not been: the system's, else the one in the Maven artifact org.bytedeco:cuda-redist, unpacked.
     *
     * @return where it is from
     * @throws CudaException if there is none
     */
    static synchronized String load() {
        if (from.isEmpty()) {
            String found = find(Libraries.folders());
            try {
                Libraries.load(JNvrtc.class, "JNvrtc");
                LOG.log(Level.INFO, "NVRTC " + version() + " from " + found);
            } catch (LinkageError e) {
                throw Libraries.failure(e, LIBRARY, missing(Libraries.folders()));
            }
            from = found;
        }
        return from;
    }

    private static String find(List<Path> folders) {
        for (Path folder : folders) {
            if (!Files.exists(folder.resolve(LIBRARY))) continue;
            try {
                loadFrom(folder);
                return folder.toString();
            } catch (LinkageError e) {
                LOG.log(
                        Level.WARNING,
                        "NVRTC is in " + folder + ", but cannot be loaded (" + Libraries.reason(e) + "); looking on");
            }
        }
        if (!isPacked()) return "the system's search path";
        Path folder = unpack();
        try {
            loadFrom(folder);
        } catch (LinkageError e) {
            throw new CudaException(
                    "NVRTC cannot be loaded: " + Libraries.reason(e),
                    "name a folder where programs may run with -Dkudari.cache=FOLDER");
        }
        return folder + " (unpacked from org.bytedeco:cuda-redist)";
    }

    private static void loadFrom(Path folder) {
        // The builtins first, for the compiler looks for them only where the system looks.
        try (Stream<Path> files = Files.list(folder)) {
            files.filter(file -> file.getFileName().toString().matches("libnvrtc-builtins\\.so\\.12[.0-9]*"))
                    .sorted()
                    .forEach(file -> System.load(file.toAbsolutePath().toString()));
        } catch (IOException e) {
            throw new UnsatisfiedLinkError(folder + ": " + Say.reason(e)); // a folder that may not be listed
        }
        System.load(folder.resolve(LIBRARY).toAbsolutePath().toString());
    }

    /** What to say where there is none. */
    static CudaException missing(List<Path> folders) {
        String what = Libraries.find("libnvrtc.so.13", folders)
                .map(folder -> "no NVRTC of CUDA 12 (" + LIBRARY + "), only of CUDA 13 (" + folder + "/libnvrtc.so.13)")
                .orElse("no NVRTC (" + LIBRARY + ")");
        return new CudaException(
                what,
                "install NVRTC of CUDA 12 (NVIDIA's package cuda-nvrtc-12-9), beside what there is of other versions, or put"
                        + " org.bytedeco:cuda-redist with the classifier linux-x86_64 on the class path");
    }

    /** Whether the Maven artifact is on the class path. */
    static boolean isPacked() {
        return Nvrtc.class.getResource(PACKED + LIBRARY) != null;
    }

    /** The Maven artifact's library, unpacked into a folder of this user's. */
    private static Path unpack() {
        try {
            Path folder = PrivateFolder.openOrTemporary("nvrtc-12.9");
            unpack(folder);
            return folder;
        } catch (IOException e) {
            throw new CudaException("cannot unpack NVRTC, 120 MB: " + e.getMessage(), Libraries.UNPACK_MEND);
        }
    }

    /** Unpacks it into a folder that only this user can write to. */
    static void unpack(Path folder) throws IOException {
        for (String name : List.of("libnvrtc-builtins.so.12.9", LIBRARY)) {
            URL packed = Nvrtc.class.getResource(PACKED + name);
            if (packed == null) throw new FileNotFoundException("no " + name + " in org.bytedeco:cuda-redist");
            Libraries.unpack(packed, folder.resolve(name));
        }
    }
}
