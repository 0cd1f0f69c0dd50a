package kudari.io;

import static java.nio.file.LinkOption.NOFOLLOW_LINKS;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger.Level;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Folders that nobody but this user (and root) can write to: what runs, runs from there. The file modes that say so are those of POSIX; elsewhere the
 * system's own folder for caches is trusted as it is.
 */
public final class PrivateFolder {

    private static final Set<PosixFilePermission> MODE = PosixFilePermissions.fromString("rwx------");

    /** The bits of a POSIX mode. */
    private static final int WRITABLE = 0022, REACHABLE = 0011, STICKY = 01000;

    private static final int ROOT = 0;

    /** What stands in for folders that cannot be had, by their names, until the JVM ends. */
    private static final Map<String, Path> TEMPORARY = new HashMap<>();

    private PrivateFolder() {}

    /**
     * Where this user's files are kept that can be made again: {@code -Dkudari.cache}, else the folder {@code kudari} where the system keeps caches.
     *
     * @throws IOException if there is no home
     */
    public static Path cache() throws IOException {
        String set = System.getProperty("kudari.cache");
        if (set != null && !set.isEmpty()) {
            try {
                return Path.of(set).toAbsolutePath();
            } catch (InvalidPathException e) {
                throw new IOException("-Dkudari.cache: " + e.getMessage(), e);
            }
        }
        String caches = System.getenv("XDG_CACHE_HOME");
        if (isAbsolute(caches)) return Path.of(caches, "kudari");
        // HOME first: what Java takes from the table of users is a question mark for a user who is not in it.
        String home = Stream.of(System.getenv("HOME"), System.getProperty("user.home"))
                .filter(PrivateFolder::isAbsolute)
                .findFirst()
                .orElseThrow(() -> new FileNotFoundException(
                        "HOME names no folder, or one whose name needs another" + " locale, such as LC_ALL=C.UTF-8"));
        return Path.of(home, ".cache", "kudari");
    }

    private static boolean isAbsolute(String path) {
        try {
            return path != null && Path.of(path).isAbsolute();
        } catch (InvalidPathException e) {
            return false; // in a locale without UTF-8 Java has no paths beyond ASCII
        }
    }

    /**
     * A folder of the {@link #cache}, made if it is missing.
     *
     * @throws IOException if it cannot be made or written, or others could write to it; the message names the folder
     */
    public static Path open(String name) throws IOException {
        Path folder = open(cache().resolve(name));
        if (isPosix()) Files.setPosixFilePermissions(folder, MODE);
        return folder;
    }

    /** The same of any folder, which keeps its mode if it is there already. */
    public static Path open(Path folder) throws IOException {
        FileAttribute<?>[] attributes = isPosix()
                ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(MODE)}
                : new FileAttribute<?>[0];
        try {
            Files.createDirectories(folder, attributes);
            Path real = folder.toRealPath();
            if (isPosix()) check(real);
            return real;
        } catch (FileSystemException e) {
            throw new IOException(e.getFile() + ": " + Say.reason(e), e);
        }
    }

    /** The same, or a new folder that is gone when the JVM ends; the log then says why. */
    public static synchronized Path openOrTemporary(String name) throws IOException {
        try {
            return open(name);
        } catch (IOException e) {
            Path folder = TEMPORARY.get(name);
            if (folder != null) return folder;
            try {
                folder = Files.createTempDirectory("kudari").toRealPath();
            } catch (IOException none) {
                throw new IOException(
                        e.getMessage() + "; nor can a folder be made in " + System.getProperty("java.io.tmpdir") + " ("
                                + Say.reason(none) + ")",
                        none);
            }
            Path made = folder;
            Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(made)));
            TEMPORARY.put(name, folder);
            System.getLogger(PrivateFolder.class.getName())
                    .log(
                            Level.WARNING,
                            e.getMessage() + "; " + folder
                                    + " is used instead, until this program ends: name a folder that only you can write to with"
                                    + " -Dkudari.cache=FOLDER");
            return folder;
        }
    }

    /**
     * Gives JavaCPP, which has not been used yet, a folder that only this user can write to: its own, or where others can write to that, or there is no
     * home, one of ours. It would else unpack natives into a folder of java.io.tmpdir whose name anybody can guess.
     */
    public static void forJavaCpp() {
        String property = "org.bytedeco.javacpp.cachedir";
        if (System.getProperty(property) != null) return;
        try {
            String home = System.getProperty("user.home");
            if (isAbsolute(home)) {
                open(Path.of(home, ".javacpp", "cache"));
                return;
            }
        } catch (IOException e) {
            System.getLogger(PrivateFolder.class.getName()).log(Level.INFO, e.getMessage());
        }
        try {
            System.setProperty(property, openOrTemporary("javacpp").toString());
        } catch (IOException e) {
            throw new UncheckedIOException("no folder to unpack natives into: " + e.getMessage(), e);
        }
    }

    /** Whether a file in such a folder can be trusted, too: a regular one that only this user (or root) can have written. */
    public static boolean isTrusted(Path file) throws IOException {
        if (!Files.isRegularFile(file, NOFOLLOW_LINKS)) return false;
        if (!isPosix()) return true;
        int owner = attribute(file, "uid");
        return (owner == ROOT || owner == attribute(file.getParent(), "uid"))
                && (attribute(file, "mode") & WRITABLE) == 0;
    }

    /** Makes a file in such a folder this user's alone. */
    public static void protect(Path file) throws IOException {
        if (isPosix()) Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    }

    /** Throws if others could write to a folder, or put another in the place of one that leads to it. */
    private static void check(Path folder) throws IOException {
        Path probe = Files.createTempFile(
                folder, ".owner", null); // no call of Java's says who we are, but our files belong to us
        int self;
        try {
            self = attribute(probe, "uid");
        } finally {
            Files.delete(probe);
        }
        boolean reachable = true; // for others
        for (Path part : path(folder)) {
            int owner = attribute(part, "uid"), mode = attribute(part, "mode");
            if (owner != ROOT && owner != self) throw new IOException(part + " belongs to another user");
            // Where the sticky bit is set, as in /tmp, others cannot replace what is ours; but the folder itself shall
            // be ours alone.
            boolean sticky = (mode & STICKY) != 0 && !part.equals(folder);
            if (reachable && (mode & WRITABLE) != 0 && !sticky) {
                throw new IOException(part + " can be written by others ("
                        + PosixFilePermissions.toString(Files.getPosixFilePermissions(part)) + ")");
            }
            reachable &= (mode & REACHABLE) != 0;
        }
    }

    /** The folders that lead to one, from the root, and itself. */
    private static List<Path> path(Path folder) {
        return Stream.iterate(folder, Objects::nonNull, Path::getParent)
                .sorted(Comparator.comparing(Path::getNameCount))
                .toList();
    }

    private static int attribute(Path file, String name) throws IOException {
        return (Integer) Files.getAttribute(file, "unix:" + name, NOFOLLOW_LINKS);
    }

    private static boolean isPosix() {
        return Path.of("").getFileSystem().supportedFileAttributeViews().contains("unix");
    }

    private static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
        } catch (IOException | UncheckedIOException e) {
            System.getLogger(PrivateFolder.class.getName()).log(Level.WARNING, "cannot delete " + folder + ": " + e);
        }
    }
}
