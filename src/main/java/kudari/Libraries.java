package kudari;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.util.stream.Collectors.joining;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import jcuda.JCudaVersion;
import jcuda.LibUtils;
import kudari.io.AtomicFile;
import kudari.io.PrivateFolder;

/** Shared libraries, the system's and those of the class path: where they are, how they are loaded, and why one was not. */
final class Libraries {

    /** For the products of networks on a device. */
    static final String CUBLAS = "libcublas.so.12";

    private static final String CUBLAS_MEND =
            "networks on the GPU need it: install cuBLAS of CUDA 12 (NVIDIA's package libcublas-12-9), beside what there is of other"
                    + " versions";

    static final String UNPACK_MEND =
            "make room there, or name another folder, that only you can write to, with -Dkudari.cache=FOLDER";

    private static final String PLATFORM = "Linux amd64", TMPDIR = "java.io.tmpdir";

    private Libraries() {}

    /** Where this system keeps its libraries: the folders of the dynamic linker, in its order, and those where CUDA puts its own. */
    static List<Path> folders() {
        Set<String> folders = new LinkedHashSet<>(Arrays.asList(
                System.getenv().getOrDefault("LD_LIBRARY_PATH", "").split(":")));
        folders.remove("");
        try (DirectoryStream<Path> files = Files.newDirectoryStream(Path.of("/etc/ld.so.conf.d"), "*.conf")) {
            for (Path file : files) {
                Files.readAllLines(file).stream()
                        .map(String::strip)
                        .filter(line -> line.startsWith("/"))
                        .forEach(folders::add);
            }
        } catch (IOException | DirectoryIteratorException e) {
            // Another linker than glibc's. What follows is then all there is.
        }
        folders.addAll(List.of(
                "/lib/x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu",
                "/lib64",
                "/usr/lib64",
                "/usr/local/cuda/lib64",
                "/usr/local/cuda/lib",
                "/usr/local/cuda-12/lib64"));
        return folders.stream().flatMap(Libraries::path).toList();
    }

    /** None where Java cannot say the name: one beyond ASCII, in a locale without UTF-8. */
    static Stream<Path> path(String folder) {
        try {
            return Stream.of(Path.of(folder));
        } catch (InvalidPathException e) {
            return Stream.empty();
        }
    }

    /** The first of some folders with a library of that name. */
    static Optional<Path> find(String name, List<Path> folders) {
        return folders.stream()
                .filter(folder -> Files.exists(folder.resolve(name)))
                .findFirst();
    }

    /**
     * Loads cuBLAS from the first of some folders that has it.
     *
     * @return the file
     * @throws CudaException if none has it, or it cannot be loaded
     */
    static Path loadCublas(List<Path> folders) {
        Path folder = find(CUBLAS, folders).orElseThrow(() -> missingCublas(folders));
        try {
            Path part = folder.resolve("libcublasLt.so.12"); // which it needs, and looks for where the linker does
            if (Files.exists(part)) System.load(part.toAbsolutePath().toString());
            System.load(folder.resolve(CUBLAS).toAbsolutePath().toString());
            return folder.resolve(CUBLAS);
        } catch (LinkageError e) {
            throw new CudaException("cuBLAS cannot be loaded: " + reason(e), CUBLAS_MEND);
        }
    }

    /** What to say where there is none. */
    static CudaException missingCublas(List<Path> folders) {
        String what = find("libcublas.so.13", folders)
                .map(folder ->
                        "no cuBLAS of CUDA 12 (" + CUBLAS + "), only of CUDA 13 (" + folder + "/libcublas.so.13)")
                .orElse("no cuBLAS (" + CUBLAS + ")");
        return new CudaException(what, CUBLAS_MEND);
    }

    /** Why something could not be loaded, in one line; JCuda tells it in forty. */
    static String reason(LinkageError error) {
        // A class that failed once says only that it did; the reason is then its cause's.
        String text = Stream.iterate((Throwable) error, Objects::nonNull, Throwable::getCause)
                .map(Throwable::toString)
                .collect(joining("\n"));
        Matcher unpacked = Pattern.compile("as a resource:\\R(.*)").matcher(text);
        String line =
                unpacked.find() ? unpacked.group(1) : text.lines().findFirst().orElse("");
        return line.replaceFirst("^[\\w.$]+(Error|Exception): ", "").replaceFirst("^(\\S+: )\\1", "$1");
    }

    /**
     * What to say when JCuda could not be loaded: that a library of NVIDIA's is missing, or else what is wrong with JCuda's own natives.
     *
     * @param library that these natives need
     * @param missing what to say where that is what is missing
     */
    static CudaException failure(LinkageError error, String library, CudaException missing) {
        String reason = reason(error);
        // Of a class that failed before, the JVM may have forgotten why.
        boolean forgotten = reason.startsWith("Could not initialize class");
        boolean isMissing = reason.contains(library + ":")
                || forgotten && find(library, folders()).isEmpty();
        return isMissing ? missing : natives(error);
    }

    /** What to say when JCuda's natives could not be loaded. */
    static CudaException natives(LinkageError error) {
        String reason = reason(error);
        return new CudaException(
                "JCuda's natives cannot be loaded: " + reason,
                reason.contains("No resource found")
                        ? "put org.jcuda:jcuda-natives, in JCuda's version and with the classifier linux-x86_64, on the class path"
                        : "name a folder where programs may run with -Dkudari.cache=FOLDER");
    }

    /** Throws unless this is the platform that the CUDA engine is for. */
    static void checkPlatform() {
        String platform = System.getProperty("os.name") + " " + System.getProperty("os.arch");
        if (!platform.equals(PLATFORM)) {
            throw new CudaException(
                    "CUDA needs Linux on x86_64, and this is " + platform,
                    "take the CPU engine (Engine.cpu(), --device cpu)");
        }
    }

    /** Whether the dynamic linker may find a library: it is in one of the folders, or in the linker's own list. */
    static boolean isThere(String library) {
        if (find(library, folders()).isPresent()) return true;
        try {
            // The names in the list are plain text between its numbers.
            return Files.readString(Path.of("/etc/ld.so.cache"), ISO_8859_1).contains(library + "\0");
        } catch (IOException e) {
            return false;
        }
    }

    // ---- natives from the class path ----

    /** JCuda's classes that have loaded theirs. */
    private static final Set<Class<?>> LOADED = new HashSet<>();

    /**
     * Initializes a class of JCuda's, which loads its native library. JCuda takes a library from java.io.tmpdir if there is one of the right name,
     * another user's included, and otherwise unpacks it there. So it gets a java.io.tmpdir of its own meanwhile, in which we have put the right one.
     *
     * @param library the name that JCuda gives to it
     * @throws LinkageError if it cannot be loaded
     */
    static synchronized void load(Class<?> of, String library) {
        if (LOADED.contains(of)) return;
        String file =
                LibUtils.createLibraryFileName(LibUtils.createPlatformLibraryName(library + "-" + JCudaVersion.get()));
        Path folder;
        try {
            folder = PrivateFolder.openOrTemporary("natives");
            // By the class loader: JCuda as a module would look in its own jar alone.
            URL packed = of.getClassLoader().getResource("lib/" + file);
            if (packed == null) Files.deleteIfExists(folder.resolve(file));
            else unpack(packed, folder.resolve(file));
        } catch (IOException e) {
            throw new CudaException("cannot unpack JCuda's natives: " + e.getMessage(), UNPACK_MEND);
        }
        keepTemporaryFiles();
        String before = System.setProperty(TMPDIR, folder.toString());
        try {
            Class.forName(of.getName(), true, of.getClassLoader());
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException(e); // it is at hand
        } finally {
            System.getProperties().replace(TMPDIR, folder.toString(), before);
        }
        LOADED.add(of);
    }

    /** Java remembers java.io.tmpdir when it first makes a temporary file: it shall do so now. Both calls end before there is a file. */
    private static void keepTemporaryFiles() {
        try {
            File.createTempFile("kudari", "/none");
        } catch (IOException e) {
            // No such name.
        }
        try {
            Files.createTempFile("/", null);
        } catch (IllegalArgumentException | IOException e) {
            // No such name.
        }
    }

    /**
     * Unpacks a file of the class path into a {@link PrivateFolder}, if it is not there already: whole, and ours. Where it takes a file's place, a
     * process that has loaded that one keeps it.
     */
    static void unpack(URL packed, Path file) throws IOException {
        URLConnection connection = packed.openConnection();
        if (connection instanceof JarURLConnection jar && isCopy(file, jar.getJarEntry())) return;
        if (!PrivateFolder.isTrusted(file)) Files.deleteIfExists(file); // a link would be followed, a mode kept
        try (InputStream in = connection.getInputStream()) {
            AtomicFile.write(file, in::transferTo);
        }
        PrivateFolder.protect(file);
    }

    /** Whether a file is what a jar's table says of an entry. Nobody else can have written it: the sum is to find damage. */
    private static boolean isCopy(Path file, ZipEntry entry) throws IOException {
        if (!PrivateFolder.isTrusted(file) || Files.size(file) != entry.getSize()) return false;
        CRC32 sum = new CRC32();
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = new byte[1 << 16];
            for (int n = in.read(bytes); n > 0; n = in.read(bytes)) sum.update(bytes, 0, n);
        }
        return sum.getValue() == entry.getCrc();
    }
}
