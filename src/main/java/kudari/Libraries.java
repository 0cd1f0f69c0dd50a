package kudari;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The system's shared libraries: where they are, and why one was not loaded. */
final class Libraries {

    /** For the products of networks on a device. */
    static final String CUBLAS = "libcublas.so.12";

    private static final String CUBLAS_MEND =
            "networks on the GPU need it: install cuBLAS of CUDA 12 (NVIDIA's package libcublas-12-9), beside what there is of other"
                    + " versions";

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
        return folders.stream().map(Path::of).toList();
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
        String reason = reason(error), folder = System.getProperty("java.io.tmpdir"), mend;
        if (!onLinux()) {
            mend = "CUDA needs Linux on x86_64: take the CPU engine (Engine.cpu(), --device cpu)";
        } else if (reason.contains("No resource found")) {
            mend =
                    "put org.jcuda:jcuda-natives, in JCuda's version and with the classifier linux-x86_64, on the class path";
        } else {
            // JCuda unpacks them there, leaves half ones there, and takes what it finds there for whole.
            mend = "JCuda unpacks them into " + folder
                    + ": make room there, let programs run there and delete libJ*.so from"
                    + " it, or name another folder with -Djava.io.tmpdir=FOLDER";
        }
        return new CudaException("JCuda's natives cannot be loaded: " + reason, mend);
    }

    /** Whether this is the platform that the CUDA engine is for. */
    static boolean onLinux() {
        return System.getProperty("os.name").equals("Linux")
                && System.getProperty("os.arch").equals("amd64");
    }
}
