package kudari.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The rules for folders and files; what comes of them NativesTest shows, which needs a GPU in software. */
class PrivateFolderTest {

    private static final String CACHE = "kudari.cache", HOME = "user.home", JAVACPP = "org.bytedeco.javacpp.cachedir";

    private static void mode(Path file, String mode) throws IOException {
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
    }

    private static void refused(Path folder) {
        String message = assertThrows(IOException.class, () -> PrivateFolder.open(folder))
                .getMessage();
        assertTrue(message.contains(" can be written by others ("), message);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aFolderIsMadeForThisUserAloneAndNothingIsLeftInIt(@TempDir Path top) throws IOException {
        Path made = PrivateFolder.open(top.resolve("a").resolve("b"));
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(made)));
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(made.getParent())));
        assertEquals(0, made.toFile().list().length);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aFolderThatOthersCanWriteToIsRefusedWhereTheyCanReachIt(@TempDir Path top) throws IOException {
        Path above = Files.createDirectory(top.resolve("above")),
                folder = Files.createDirectory(above.resolve("folder"));
        mode(above, "rwx------");
        for (String mode : List.of("rwxrwx---", "rwx----w-")) {
            mode(top, "rwx------");
            mode(folder, mode);
            assertEquals(folder.toRealPath(), PrivateFolder.open(folder));
            mode(top, "rwx--x--x");
            assertEquals(folder.toRealPath(), PrivateFolder.open(folder), "others do not get through the one above");
            for (String reachable : List.of("rwx--x---", "rwx-----x")) {
                mode(top, reachable);
                mode(above, reachable);
                refused(folder);
            }
            mode(above, "rwx------");
        }
        mode(folder, "rwx------");
        mode(top, "rwxr-xr-x");
        mode(above, "rwxrwxrwx"); // then they can put another folder in its place
        refused(folder);
        // Not where the sticky bit is set, of one that leads to it; the folder itself shall be this user's alone.
        Files.setAttribute(above, "unix:mode", 01777);
        assertEquals(folder.toRealPath(), PrivateFolder.open(folder));
        refused(above);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aLinkIsAsGoodAsTheFolderItLeadsTo(@TempDir Path top) throws IOException {
        mode(top, "rwxr-xr-x");
        Path folder = Files.createDirectories(top.resolve("open").resolve("folder"));
        Path link = Files.createSymbolicLink(top.resolve("link"), folder);
        mode(folder.getParent(), "rwx------");
        assertEquals(folder.toRealPath(), PrivateFolder.open(link));
        mode(folder.getParent(), "rwxrwxrwx");
        refused(link);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aFolderOfTheCacheIsMadeThisUsersAlone(@TempDir Path top) throws IOException {
        String before = System.getProperty(CACHE);
        try {
            System.clearProperty(CACHE);
            Path usual = PrivateFolder.cache();
            System.setProperty(CACHE, "");
            assertEquals(usual, PrivateFolder.cache());
            System.setProperty(CACHE, top.toString());
            mode(Files.createDirectory(top.resolve("kernels")), "rwxr-xr-x");
            Path folder = PrivateFolder.open("kernels");
            assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder)));
        } finally {
            if (before == null) System.clearProperty(CACHE);
            else System.setProperty(CACHE, before);
        }
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void whatBelongsToAnotherUserIsNotTrusted(@TempDir Path folder) throws IOException {
        assumeTrue(System.getProperty("user.name").equals("root"), "only root can give a file away");
        Path file = Files.createFile(folder.resolve("file"));
        mode(file, "rw-r--r--");
        Files.setAttribute(file, "unix:uid", 12345);
        assertFalse(PrivateFolder.isTrusted(file));
        Files.setAttribute(file, "unix:uid", 0);
        Files.setAttribute(folder, "unix:uid", 12345);
        assertTrue(PrivateFolder.isTrusted(file), "root's, in another user's folder");
        String message = assertThrows(IOException.class, () -> PrivateFolder.open(folder))
                .getMessage();
        assertTrue(message.contains(folder.getFileName() + " belongs to another user"), message);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void aFileIsTrustedThatOnlyThisUserCanWrite(@TempDir Path folder) throws IOException {
        Path file = Files.createFile(folder.resolve("file"));
        mode(file, "rw-r--r--");
        assertTrue(PrivateFolder.isTrusted(file));
        assertFalse(PrivateFolder.isTrusted(Files.createSymbolicLink(folder.resolve("link"), file)));
        for (String mode : List.of("rw--w----", "rw-----w-")) {
            mode(file, mode);
            assertFalse(PrivateFolder.isTrusted(file), mode);
        }
        PrivateFolder.protect(file);
        assertTrue(PrivateFolder.isTrusted(file));
    }

    /** Puts something into a folder that stands in for the cache, and says where. */
    static final class Temporary {
        public static void main(String[] arguments) throws IOException {
            Path folder = PrivateFolder.openOrTemporary("kernels");
            Files.createFile(Files.createDirectory(folder.resolve("below")).resolve("file"));
            System.out.print(folder);
        }
    }

    @Test
    void whatStandsInForTheCacheIsGoneWithTheProgram(@TempDir Path top) throws Exception {
        Path inTheWay = Files.createFile(top.resolve("file")), room = Files.createDirectory(top.resolve("room"));
        Process program = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-D" + CACHE + "=" + inTheWay,
                        "-Djava.io.tmpdir=" + room,
                        "-cp",
                        System.getProperty("java.class.path"),
                        Temporary.class.getName())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        Path folder = Path.of(new String(program.getInputStream().readAllBytes()));
        assertEquals(0, program.waitFor());
        assertEquals(room.toRealPath(), folder.getParent());
        assertEquals(0, room.toFile().list().length, "left in " + folder);
    }

    /** In a locale without UTF-8 such a name is any beyond ASCII; one with a zero in it is such a name everywhere. */
    @Test
    void aNameThatIsNoPathIsNoFolderAndNothingElseFails() throws IOException {
        Map<String, String> before = new HashMap<>();
        for (String name : List.of(CACHE, HOME, JAVACPP)) before.put(name, System.getProperty(name));
        try {
            System.clearProperty(JAVACPP);
            System.setProperty(CACHE, "/caches\0");
            System.setProperty(HOME, "/home\0");
            assertThrows(IOException.class, PrivateFolder::cache);
            PrivateFolder.forJavaCpp();
            Path folder = Path.of(System.getProperty(JAVACPP));
            assertTrue(Files.isDirectory(folder));
            assertEquals(folder, PrivateFolder.openOrTemporary("javacpp"), "one for all that ask");
            System.setProperty(JAVACPP, "the program's own");
            PrivateFolder.forJavaCpp();
            assertEquals("the program's own", System.getProperty(JAVACPP));
        } finally {
            before.forEach((name, value) -> {
                if (value == null) System.clearProperty(name);
                else System.setProperty(name, value);
            });
        }
    }
}
