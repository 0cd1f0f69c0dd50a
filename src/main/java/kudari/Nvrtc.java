package kudari;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
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

    private static final String PACKED = "/org/bytedeco/cuda/linux-x86_64/";

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
            return new Source(name, text, CudaDriver.LAYOUT + resource("step.cuh"));
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

    static int newestArchitecture() {
        int[] count = new int[1];
        check(JNvrtc.nvrtcGetNumSupportedArchs(count));
        int[] architectures = new int[count[0]];
        check(JNvrtc.nvrtcGetSupportedArchs(architectures));
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
                LOG.info("NVRTC {} from {}", version(), found);
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
                LOG.warn("NVRTC is in {}, but cannot be loaded ({}); looking on", folder, Libraries.reason(e));
            }
        }
        Path folder = Cache.folder().resolve("nvrtc-12.9");
        if (!unpack(folder)) return "the system's search path";
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
            throw new UncheckedIOException(e);
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

    /**
     * Unpacks the Maven artifact's library, if the artifact is there and its library is not yet in the folder. Each file gets its name when it is
     * whole.
     *
     * @return whether it is there
     */
    static boolean unpack(Path folder) {
        try {
            for (String name : List.of("libnvrtc-builtins.so.12.9", LIBRARY)) {
                URL packed = Nvrtc.class.getResource(PACKED + name);
                if (packed == null) return false;
                Path file = folder.resolve(name);
                URLConnection connection = packed.openConnection();
                // A file that something else has cut short would crash the JVM: one that is not whole is replaced.
                if (Files.exists(file) && Files.size(file) == connection.getContentLengthLong()) continue;
                try (InputStream in = connection.getInputStream()) {
                    Cache.write(file, in);
                }
            }
            return true;
        } catch (IOException e) {
            throw new CudaException(
                    "cannot unpack NVRTC into " + folder + ": " + Cache.reason(e),
                    "make room there for 120 MB, or name another folder with -Dkudari.cache=FOLDER");
        }
    }

    /** One compiled kernel in the folder: its SHA-256, then its bytes. Whatever is wrong with the file, it is compiled again. */
    record Cache(Path file) {

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
            byte[] bytes = Arrays.copyOf(sha256(code), 32 + code.length);
            System.arraycopy(code, 0, bytes, 32, code.length);
            try {
                write(file, new ByteArrayInputStream(bytes));
            } catch (IOException e) {
                LOG.warn(
                        "cannot keep a compiled kernel in {} ({}); it will be compiled again next time",
                        file.getParent(),
                        reason(e));
            }
        }

        /** Writes a whole file or none: beside its place, then moved there. */
        static void write(Path file, InputStream bytes) throws IOException {
            Files.createDirectories(file.getParent());
            Path whole =
                    Files.createTempFile(file.getParent(), file.getFileName().toString(), ".tmp");
            try {
                Files.copy(bytes, whole, StandardCopyOption.REPLACE_EXISTING);
                Files.move(whole, file, StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(whole);
            }
        }

        /** What is in the way of a file, in words; Java's messages are often the file's name alone. */
        static String reason(IOException e) {
            String message = String.valueOf(e.getMessage());
            if (e instanceof FileAlreadyExistsException) return message + " is not a folder";
            if (e instanceof AccessDeniedException) return message + " may not be written";
            return message;
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
