package kudari.io;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A file grows record by record, and only one has it at a time. */
class AppendFileTest {

    @TempDir
    private Path folder;

    private Path file;

    @BeforeEach
    void name() {
        file = folder.resolve("file");
    }

    @Test
    void recordsAreThereAsSoonAsTheyAreAppended() throws IOException {
        try (AppendFile appended = AppendFile.create(file)) {
            appended.append("one ".getBytes(UTF_8));
            assertEquals("one ", Files.readString(file));
            appended.append("two ".getBytes(UTF_8));
            assertEquals("one two ", Files.readString(file));
        }
        assertThrows(FileAlreadyExistsException.class, () -> AppendFile.create(file));
        try (AppendFile appended = AppendFile.lock(file)) {
            assertEquals("one two ", new String(appended.content().readAllBytes(), UTF_8));
            appended.truncate(4);
            appended.append("three".getBytes(UTF_8));
            assertEquals("one three", Files.readString(file));
        }
    }

    /** Whether or not the content has been read, from whose end a file that was not would begin at the first byte. */
    @Test
    void afterACutRecordsFollowTheBytesThatAreLeft() throws IOException {
        Files.writeString(file, "one two three");
        try (AppendFile appended = AppendFile.lock(file)) {
            appended.truncate(8);
            appended.append("six".getBytes(UTF_8));
            assertEquals("one two six", Files.readString(file));
            assertEquals("one two six", new String(appended.content().readAllBytes(), UTF_8));
            assertEquals(
                    "one two six", new String(appended.content().readAllBytes(), UTF_8), "from the first byte again");
            appended.truncate(4);
            appended.append("2".getBytes(UTF_8));
            assertEquals("one 2", Files.readString(file));
        }
    }

    @Test
    void anInterruptedThreadAppendsAndStaysInterrupted() throws IOException {
        Thread.currentThread().interrupt();
        try (AppendFile appended = AppendFile.lock(file)) {
            appended.append("one".getBytes(UTF_8));
            appended.append("two".getBytes(UTF_8));
        } finally {
            assertTrue(Thread.interrupted());
        }
        assertEquals("onetwo", Files.readString(file));
    }

    @Test
    void aSecondOwnerIsRefusedUntilTheFirstHasClosed() throws IOException {
        try (AppendFile first = AppendFile.lock(file)) {
            String message =
                    assertThrows(IOException.class, () -> AppendFile.lock(file)).getMessage();
            assertEquals(
                    file + " is being written by another run; wait until it ends, or choose another folder", message);
            first.append("one".getBytes(UTF_8));
        }
        AppendFile.lock(file).close();
        assertEquals("one", Files.readString(file));
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aLinkStaysAndWhatItPointsToGrows() throws IOException {
        Files.createSymbolicLink(file, Path.of("real"));
        for (String text : new String[] {"one", "onetwo"}) {
            try (AppendFile appended = AppendFile.lock(file)) {
                appended.content().readAllBytes();
                appended.append(text.substring(text.length() - 3).getBytes(UTF_8));
            }
            assertTrue(Files.isSymbolicLink(file));
            assertEquals(text, Files.readString(folder.resolve("real")));
        }
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void whatIsNoRegularFileIsRefused() throws Exception {
        assertEquals(0, new ProcessBuilder("mkfifo", file.toString()).start().waitFor());
        refused(file, "it is a device, a pipe or a socket, not a regular file");
        refused(folder, "it is a folder");
        refused(folder.resolve("nowhere").resolve("file"), "no such file or folder");
    }

    private static void refused(Path file, String why) {
        assertEquals(
                "cannot write " + file + ": " + why,
                assertThrows(IOException.class, () -> AppendFile.lock(file)).getMessage());
    }
}
