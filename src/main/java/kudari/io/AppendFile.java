package kudari.io;

import java.io.BufferedInputStream;
import java.io.Closeable;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A file that grows record by record. No record is held back, so a process that is killed leaves all that it wrote, each of them whole; a
 * record for which the disk has no room leaves nothing. It works on an interrupted thread, which stays interrupted.
 */
public final class AppendFile implements Closeable {

    private final Path file;

    /** Not a channel: an interrupt would close it. */
    private final RandomAccessFile open;

    private AppendFile(Path file) throws IOException {
        this.file = file;
        this.open = new RandomAccessFile(file.toFile(), "rw");
    }

    /**
     * Begins a file that is not there yet.
     *
     * @throws java.nio.file.FileAlreadyExistsException if it is
     * @throws IOException if it cannot be made
     */
    public static AppendFile create(Path file) throws IOException {
        return new AppendFile(Files.createFile(file));
    }

    /**
     * Opens a file, through a symbolic link too, and keeps other processes, and others in this one, from opening it like this until it is
     * closed. It is made if need be.
     *
     * @throws IOException if it cannot be made or written, is no regular file, or somebody else has it; in one sentence
     */
    public static AppendFile lock(Path file) throws IOException {
        AppendFile opened;
        try {
            Path target = AtomicFile.target(file);
            try {
                Files.createFile(target);
            } catch (FileAlreadyExistsException e) {
                // Then it grows.
            }
            opened = new AppendFile(target);
        } catch (IOException e) {
            throw Say.failure("cannot write " + file, e);
        }
        try {
            if (opened.lock()) return opened;
            throw new IOException(
                    file + " is being written by another run; wait until it ends, or choose another folder");
        } catch (IOException e) {
            opened.close();
            throw e;
        }
    }

    private boolean lock() throws IOException {
        try {
            // The one byte behind everything: on Windows nobody else can read what is locked, and people look at a file
            // while it grows.
            return open.getChannel().tryLock(Long.MAX_VALUE - 1, 1, false) != null;
        } catch (OverlappingFileLockException e) {
            return false; // held by this same process
        } catch (IOException e) {
            throw Say.failure("cannot lock " + file, e);
        }
    }

    /** The bytes from the first, for one who reads them all at once. Not to be closed: this file would be. */
    public InputStream content() throws IOException {
        // Not through another opening of the file: closing that would give up the lock.
        open.seek(0);
        return new BufferedInputStream(new FileInputStream(open.getFD()), 1 << 16);
    }

    /** Cuts off all but the first bytes, and goes on behind them. */
    public void truncate(long size) throws IOException {
        try {
            open.setLength(size);
            open.seek(size);
        } catch (IOException e) {
            throw Say.failure("cannot write " + file, e);
        }
    }

    /**
     * Adds a record behind those that are there.
     *
     * @throws IOException if it cannot be written; none of it is then
     */
    public void append(byte[] record) throws IOException {
        long start = open.getFilePointer();
        try {
            open.write(record);
        } catch (IOException e) {
            try {
                truncate(start);
            } catch (IOException stuck) {
                e.addSuppressed(stuck);
            }
            throw Say.failure("cannot write " + file, e);
        }
    }

    /** Lets others write the file. */
    @Override
    public void close() throws IOException {
        open.close();
    }
}
