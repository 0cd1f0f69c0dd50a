package kudari.io;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.Set;
import java.util.UUID;

/**
 * The one way in which Kudari writes a whole file: into a temporary file beside it, which is forced to disk and then takes its place in one
 * step. At any moment, whoever else writes and whatever is killed, the name holds one version, whole.
 *
 * <ul>
 *   <li>The temporary file is a new one with a random name, {@code .kudari-….tmp}: neither threads, processes, containers nor machines on one
 *       network disk can share it. A write that fails removes its own. What a process leaves that is killed while it writes stays, for nobody
 *       can know that a temporary file of that name is not being written on another machine; no other file is ever removed.
 *   <li>A symbolic link stays, and what it points to is written; if it points to nothing, that is where the file is made.
 *   <li>What is there and is no regular file (a folder, a device, a pipe, a socket) or may not be written is refused before anything is written.
 *   <li>The permissions of a file that is replaced are kept, and its owner and group where the system allows it. A new file gets those that the
 *       process gives its files (umask). Other hard links to the old file keep the old file.
 *   <li>It works on an interrupted thread, which stays interrupted.
 * </ul>
 */
public final class AtomicFile {

    /** As many links as Linux follows, one to the next. */
    private static final int LINKS = 40;

    private AtomicFile() {}

    /** Writes what a file is to hold. */
    @FunctionalInterface
    public interface Content {
        /**
         * Writes all of it.
         *
         * @param out not buffered; need not be closed
         */
        void writeTo(OutputStream out) throws IOException;
    }

    /**
     * Replaces a file, or makes it. Its folder must be there.
     *
     * @throws IOException if that cannot be done, in one sentence that names the file; it is then as it was
     */
    public static void write(Path file, Content content) throws IOException {
        try {
            Path target = target(file);
            Path fresh = create(target);
            try {
                try (OutputStream out =
                        Files.newOutputStream(fresh, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
                    content.writeTo(out);
                }
                force(fresh, StandardOpenOption.WRITE);
                takeAttributes(fresh, target);
                Files.move(fresh, target, StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(fresh);
            }
            forceFolder(target);
        } catch (IOException e) {
            throw Say.failure("cannot write " + file, e);
        }
    }

    /**
     * Replaces a file, or makes it, by these bytes.
     *
     * @throws IOException as {@link #write(Path, Content)}
     */
    public static void write(Path file, byte[] bytes) throws IOException {
        write(file, out -> out.write(bytes));
    }

    /**
     * Throws what {@link #write} would throw for a reason that is there already: a target that is no regular file or may not be written, a folder
     * that is missing or in which no file can be made. It changes nothing.
     *
     * @throws IOException in one sentence that names the file
     */
    public static void check(Path file) throws IOException {
        try {
            Files.deleteIfExists(create(target(file)));
        } catch (IOException e) {
            throw Say.failure("cannot write " + file, e);
        }
    }

    /** The regular file that is to be replaced, or the place of one that is to be made: behind all symbolic links. */
    static Path target(Path file) throws IOException {
        try {
            // Through the links, as the system itself follows them: it refuses loops, and on many systems links that
            // other
            // users planted.
            BasicFileAttributes there = Files.readAttributes(file, BasicFileAttributes.class);
            if (there.isDirectory()) throw new FileSystemException(null, null, "it is a folder");
            if (!there.isRegularFile())
                throw new FileSystemException(null, null, "it is a device, a pipe or a socket, not a regular file");
            if (!Files.isWritable(file)) throw new AccessDeniedException(null);
        } catch (NoSuchFileException e) {
            // Then it is made.
        }
        Path target = file.toAbsolutePath();
        for (int links = 0; Files.isSymbolicLink(target); links++) {
            if (links == LINKS) throw new FileSystemException(null, null, "too many symbolic links, one to the next");
            target = target.resolveSibling(Files.readSymbolicLink(target));
        }
        return target;
    }

    /** Makes an empty file beside the target that nobody else has, and that nobody may read who may not read the target. */
    private static Path create(Path target) throws IOException {
        Set<PosixFilePermission> permissions =
                EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE);
        PosixFileAttributes old = attributes(target);
        if (old != null) permissions.addAll(old.permissions());
        FileAttribute<?>[] attributes = old == null
                ? new FileAttribute<?>[0]
                : new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(permissions)};
        while (true) {
            try {
                return Files.createFile(target.resolveSibling(".kudari-" + UUID.randomUUID() + ".tmp"), attributes);
            } catch (FileAlreadyExistsException e) {
                // Another name, then.
            }
        }
    }

    private static void takeAttributes(Path fresh, Path target) throws IOException {
        PosixFileAttributes old = attributes(target);
        if (old == null) return;
        PosixFileAttributeView view = Files.getFileAttributeView(fresh, PosixFileAttributeView.class);
        PosixFileAttributes now = view.readAttributes();
        try {
            if (!now.group().equals(old.group())) view.setGroup(old.group());
            if (!now.owner().equals(old.owner())) view.setOwner(old.owner());
        } catch (IOException e) {
            // Only root may give a file away.
        }
        view.setPermissions(old.permissions());
    }

    /** Null where there is no file yet, or the system has no such permissions. */
    private static PosixFileAttributes attributes(Path file) throws IOException {
        PosixFileAttributeView view = Files.getFileAttributeView(file, PosixFileAttributeView.class);
        try {
            return view == null ? null : view.readAttributes();
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    /** Makes the new name as durable as the bytes. */
    private static void forceFolder(Path file) {
        try {
            force(file.getParent(), StandardOpenOption.READ);
        } catch (IOException e) {
            // Windows opens no folder, and some file systems force none: they have their own ways.
        }
    }

    /** Forces to disk what has been written, also on an interrupted thread, on which a channel would only close. */
    private static void force(Path path, StandardOpenOption access) throws IOException {
        boolean interrupted = false;
        try {
            while (true) {
                interrupted |= Thread.interrupted();
                try (FileChannel channel = FileChannel.open(path, access)) {
                    channel.force(true);
                    return;
                } catch (ClosedByInterruptException e) {
                    // Once more.
                }
            }
        } finally {
            if (interrupted) Thread.currentThread().interrupt();
        }
    }
}
