package kudari;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** NVIDIA's run-time compiler: finds and loads it, compiles kernels, and keeps what it compiled in a folder. */
final class Nvrtc {

    private static final Logger LOG = LoggerFactory.getLogger(Nvrtc.class);

    /** One IEEE 754 operation for every operation in the source; never fast-math, never -ftz=true. */
    private static final List<String> EXACT = List.of("-fmad=false", "--std=c++17");

    private static final String LIBRARY = "libnvrtc.so.12";

    private Nvrtc() {}

    /**
     * A kernel's text.
     *
     * @param name of its file
     * @param text of the file
     * @param header the text of step.cuh, which it includes
     */
    record Source(String name, String text, String header) {

        static Source of(String name) {
            return of(name, resource(name));
        }

        static Source of(String name, String text) {
            return new Source(name, text, resource("step.cuh"));
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
        Cache cache = Cache.of(source, options, version());
        byte[] cached = cache.read();
        if (cached != null) return cached;
        byte[] code = compile(source, options).code;
        cache.write(code);
        return code;
    }

    static String[] options(int capability, boolean ptx) {
        String architecture = "--gpu-architecture=" + (ptx ? "compute_" : "sm_") + capability;
        return Stream.concat(Stream.of(architecture), EXACT.stream()).toArray(String[]::new);
    }

    /** Compiles, past the cache. */
    static Result compile(Source source, String... options) {
        load();
        nvrtcProgram program = new nvrtcProgram();
        check(JNvrtc.nvrtcCreateProgram(
                program, source.text, source.name, 1, new String[] {source.header}, new String[] {"step.cuh"}));
        try {
            int code = JNvrtc.nvrtcCompileProgram(program, options.length, options);
            String[] log = {""};
            JNvrtc.nvrtcGetProgramLog(program, log);
            if (code != 0) {
                throw new CudaException("NVRTC " + version() + " cannot compile " + source.name + " with "
                        + String.join(" ", options) + ": " + JNvrtc.nvrtcGetErrorString(code) + "\n" + log[0].strip()
                        + "\n" + numbered(source.text));
            }
            long[] size = new long[1];
            if (JNvrtc.nvrtcGetCUBINSize(program, size) == 0 && size[0] > 0) {
                byte[] cubin = new byte[(int) size[0]];
                check(JNvrtc.nvrtcGetCUBIN(program, cubin));
                return new Result(cubin, log[0]);
            }
            String[] ptx = new String[1];
            check(JNvrtc.nvrtcGetPTX(program, ptx));
            return new Result((ptx[0] + "\0").getBytes(UTF_8), log[0]); // the driver reads text up to a zero
        } finally {
            JNvrtc.nvrtcDestroyProgram(program);
        }
    }

    private static String numbered(String text) {
        String[] lines = text.split("\n");
        return String.join(
                "\n",
                IntStream.range(0, lines.length)
                        .mapToObj(n -> String.format("%4d  %s", n + 1, lines[n]))
                        .toList());
    }

    private static void check(int code) {
        if (code != 0) throw new CudaException("NVRTC: " + JNvrtc.nvrtcGetErrorString(code));
    }

    /** As in {@code 12.9}. */
    static String version() {
        int[] major = new int[1], minor = new int[1];
        check(JNvrtc.nvrtcVersion(major, minor));
        return major[0] + "." + minor[0];
    }

    private static int newestArchitecture() {
        int[] count = new int[1];
        check(JNvrtc.nvrtcGetNumSupportedArchs(count));
        int[] architectures = new int[count[0]];
        check(JNvrtc.nvrtcGetSupportedArchs(architectures));
        return Arrays.stream(architectures).max().orElseThrow();
    }

    /**
     * Loads the library, if it has not been: the system's, else the one in the Maven artifact org.bytedeco:cuda-redist, unpacked.
     *
     * @throws CudaException if there is none
     */
    static void load() {
        if (Loaded.FROM.isEmpty()) {
            throw new CudaException("no NVRTC (" + LIBRARY
                    + "): install the CUDA 12 toolkit's NVRTC, or put org.bytedeco:cuda-redist with"
                    + " the classifier linux-x86_64 on the class path");
        }
    }

    /** The holder of the one library that a process can load; empty where there is none. */
    private static final class Loaded {

        static final String FROM = load();

        private static String load() {
            String from = Stream.concat(folders(), Stream.of(unpacked()).flatMap(List::stream))
                    .filter(folder -> Files.exists(folder.resolve(LIBRARY)))
                    .findFirst()
                    .map(Loaded::loadFrom)
                    .orElse("the system's search path");
            try {
                LOG.info("NVRTC {} from {}", version(), from);
                return from;
            } catch (LinkageError e) {
                LOG.debug("NVRTC cannot be loaded", e);
                return "";
            }
        }

        /** Where systems keep it. */
        private static Stream<Path> folders() {
            String named = System.getenv().getOrDefault("LD_LIBRARY_PATH", "");
            return Stream.concat(
                            Arrays.stream(named.split(":")).filter(folder -> !folder.isEmpty()),
                            Stream.of(
                                    "/usr/local/cuda/lib64",
                                    "/usr/local/cuda-12/lib64",
                                    "/usr/lib/x86_64-linux-gnu",
                                    "/usr/lib64"))
                    .map(Path::of);
        }

        private static String loadFrom(Path folder) {
            // The builtins first, for the compiler looks for them only where the system looks.
            try (Stream<Path> files = Files.list(folder)) {
                files.filter(file -> file.getFileName().toString().startsWith("libnvrtc-builtins.so.12"))
                        .sorted()
                        .forEach(file -> System.load(file.toAbsolutePath().toString()));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            System.load(folder.resolve(LIBRARY).toAbsolutePath().toString());
            return folder.toString();
        }

        /** The folder into which the Maven artifact's library is unpacked, if the artifact is there. */
        private static List<Path> unpacked() {
            String inside = "/org/bytedeco/cuda/linux-x86_64/";
            Path folder = Cache.folder().resolve("nvrtc-12.9");
            try {
                for (String name : List.of("libnvrtc-builtins.so.12.9", LIBRARY)) {
                    try (InputStream in = Nvrtc.class.getResourceAsStream(inside + name)) {
                        if (in == null) return List.of();
                        if (Files.exists(folder.resolve(name))) continue;
                        Files.createDirectories(folder);
                        Path whole = Files.createTempFile(folder, name, ".tmp");
                        Files.copy(in, whole, StandardCopyOption.REPLACE_EXISTING);
                        Files.move(whole, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE);
                    }
                }
                return List.of(folder);
            } catch (IOException e) {
                throw new CudaException("cannot unpack NVRTC into " + folder + ": " + e.getMessage()
                        + "; set -Dkudari.cache to a folder with 120 MB of room");
            }
        }
    }

    /** One compiled kernel in the folder: its SHA-256, then its bytes. Whatever is wrong with the file, it is compiled again. */
    private record Cache(Path file) {

        /** {@code -Dkudari.cache}, else where the system keeps caches. */
        static Path folder() {
            String set = System.getProperty("kudari.cache");
            if (set != null) return Path.of(set);
            String xdg = System.getenv("XDG_CACHE_HOME");
            return (xdg != null && !xdg.isEmpty() ? Path.of(xdg) : Path.of(System.getProperty("user.home"), ".cache"))
                    .resolve("kudari");
        }

        static Cache of(Source source, String[] options, String version) {
            String key = String.join("\0", source.name, source.text, source.header, String.join(" ", options), version);
            return new Cache(
                    folder().resolve("kernels").resolve(HexFormat.of().formatHex(sha256(key.getBytes(UTF_8)))));
        }

        byte[] read() {
            try {
                byte[] bytes = Files.readAllBytes(file);
                byte[] code = Arrays.copyOfRange(bytes, Math.min(32, bytes.length), bytes.length);
                if (bytes.length > 32 && Arrays.equals(sha256(code), Arrays.copyOf(bytes, 32))) return code;
                LOG.warn("{} is damaged; compiling again", file);
            } catch (IOException e) {
                LOG.debug("not cached: {}", file);
            }
            return null;
        }

        void write(byte[] code) {
            try {
                Files.createDirectories(file.getParent());
                Path whole = Files.createTempFile(file.getParent(), "kernel", ".tmp");
                try {
                    byte[] bytes = Arrays.copyOf(sha256(code), 32 + code.length);
                    System.arraycopy(code, 0, bytes, 32, code.length);
                    Files.write(whole, bytes);
                    Files.move(whole, file, StandardCopyOption.ATOMIC_MOVE);
                } finally {
                    Files.deleteIfExists(whole);
                }
            } catch (IOException e) {
                LOG.warn(
                        "cannot keep a compiled kernel in {} ({}); it will be compiled again next time",
                        file.getParent(),
                        e.toString());
            }
        }

        private static byte[] sha256(byte[] bytes) {
            try {
                return MessageDigest.getInstance("SHA-256").digest(bytes);
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e); // every JVM has it
            }
        }
    }
}
