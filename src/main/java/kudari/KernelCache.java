package kudari;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import kudari.io.AtomicFile;
import kudari.io.PrivateFolder;

/**
 * One compiled kernel in this user's cache: its SHA-256, then its bytes, in a file named by all that it was made of. Whatever is wrong with the file or
 * its folder, the kernel is compiled again.
 */
record KernelCache(String name) {

    private static final Logger LOG = System.getLogger(KernelCache.class.getName());

    /** Bytes of all kernels together; ours have some ten thousand each. Beyond it the oldest go. */
    static final long ALL = 128 << 20;

    /** Bytes of one kernel: more is none of ours. */
    static final long ONE = 16 << 20;

    private static final int SUM = 32;

    /** The names of kernels, and of what a process leaves that is killed while it writes one. */
    private static final Pattern OURS = Pattern.compile("[0-9a-f]{64}|\\.kudari-.*\\.tmp");

    static KernelCache of(String... madeOf) {
        return new KernelCache(
                HexFormat.of().formatHex(sha256(String.join("\0", madeOf).getBytes(UTF_8))));
    }

    static Path folder() throws IOException {
        return PrivateFolder.open("kernels");
    }

    Optional<byte[]> read() {
        try {
            Path file = folder().resolve(name);
            if (Files.notExists(file, LinkOption.NOFOLLOW_LINKS)) return Optional.empty();
            // Before it is opened: a pipe would wait for somebody to write.
            if (!PrivateFolder.isTrusted(file)) {
                LOG.log(Level.WARNING, file + " is not a regular file that only you can write; compiling again");
                return Optional.empty();
            }
            if (Files.size(file) <= ONE) {
                byte[] bytes = Files.readAllBytes(file);
                byte[] code = Arrays.copyOfRange(bytes, Math.min(SUM, bytes.length), bytes.length);
                if (bytes.length > SUM && Arrays.equals(sha256(code), Arrays.copyOf(bytes, SUM)))
                    return Optional.of(code);
            }
            LOG.log(Level.WARNING, file + " is damaged; compiling again");
        } catch (NoSuchFileException e) {
            LOG.log(Level.DEBUG, "gone meanwhile: " + e.getMessage());
        } catch (IOException e) {
            LOG.log(Level.DEBUG, e.getMessage()); // writing will say it
        }
        return Optional.empty();
    }

    void write(byte[] code) {
        byte[] bytes = Arrays.copyOf(sha256(code), SUM + code.length);
        System.arraycopy(code, 0, bytes, SUM, code.length);
        try {
            Path folder = folder(), file = folder.resolve(name);
            if (!PrivateFolder.isTrusted(file)) Files.deleteIfExists(file);
            AtomicFile.write(file, bytes);
            PrivateFolder.protect(file);
            evict(folder, ALL);
        } catch (IOException | UncheckedIOException e) {
            LOG.log(
                    Level.WARNING,
                    "cannot keep a compiled kernel: " + e.getMessage() + "; it will be compiled again next time");
        }
    }

    private record Entry(Path file, long size, FileTime written) {
        static Stream<Entry> of(Path file) {
            try {
                BasicFileAttributes is =
                        Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
                return is.isRegularFile()
                                && OURS.matcher(file.getFileName().toString()).matches()
                        ? Stream.of(new Entry(file, is.size(), is.lastModifiedTime()))
                        : Stream.empty();
            } catch (IOException e) {
                return Stream.empty(); // gone meanwhile
            }
        }
    }

    /** Deletes the files that were written first, what was left by a process that was killed among them, until the rest has so many bytes. */
    static void evict(Path folder, long most) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            List<Entry> entries = files.flatMap(Entry::of)
                    .sorted(Comparator.comparing(Entry::written))
                    .toList();
            long all = entries.stream().mapToLong(Entry::size).sum();
            for (Entry oldest : entries) {
                if (all <= most) return;
                Files.deleteIfExists(oldest.file);
                all -= oldest.size;
            }
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
