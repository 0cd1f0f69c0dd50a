package kudari.io;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What NativesTest cannot: it needs a GPU in software. */
class PrivateFolderTest {

    private static final String CACHE = "kudari.cache", HOME = "user.home", JAVACPP = "org.bytedeco.javacpp.cachedir";

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
            assertTrue(Files.isDirectory(Path.of(System.getProperty(JAVACPP))));
        } finally {
            before.forEach((name, value) -> {
                if (value == null) System.clearProperty(name);
                else System.setProperty(name, value);
            });
        }
    }
}
