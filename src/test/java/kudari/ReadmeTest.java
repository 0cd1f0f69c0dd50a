package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import kudari.rule.Rule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The programs of the READMEs compile and run, as a reader would run them. */
class ReadmeTest {

    private static final Pattern PROGRAM =
            Pattern.compile("```java\n((?:(?!```).)*?public class (\\w+).*?)```", Pattern.DOTALL);

    /** Those that the tests' device can run. */
    static Stream<Arguments> programs() throws IOException {
        return Stream.concat(programs("README.md"), programs("README.ja.md"))
                .filter(p -> Engines.onCuda() || !((String) p.get()[2]).contains("CudaEngine"));
    }

    private static Stream<Arguments> programs(String page) throws IOException {
        Matcher matcher = PROGRAM.matcher(Files.readString(Path.of(page)));
        List<MatchResult> programs = matcher.results().toList();
        return programs.stream().map(program -> Arguments.of(page, program.group(2), program.group(1)));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("programs")
    void everyProgramRuns(String page, String name, String program, @TempDir Path folder) throws Exception {
        Path source = Files.writeString(folder.resolve(name + ".java"), program);
        Path output = folder.resolve("output"), errors = folder.resolve("errors");
        Process java = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                        source.toString())
                .redirectOutput(output.toFile())
                .redirectError(errors.toFile())
                .start();
        assertTrue(java.waitFor(120, TimeUnit.SECONDS), "it ends");
        assertEquals(0, java.exitValue(), Files.readString(errors));
        assertFalse(Files.readString(output).isBlank(), "it prints something");
    }

    @Test
    void bothPagesShowTheSamePrograms() throws IOException {
        List<String> english = code("README.md");
        assertTrue(english.size() >= 3, "found " + english);
        assertEquals(english, code("README.ja.md"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"README.md", "README.ja.md"})
    void theTableHasARowOfEveryRule(String page) throws IOException {
        String text = Files.readString(Path.of(page));
        for (Class<?> rule : Rule.classes())
            assertTrue(text.contains("\n| `" + rule.getSimpleName() + ".of(lr)` |"), rule + " in " + page);
    }

    /** The programs without their comments, which are each page's own. */
    private static List<String> code(String page) throws IOException {
        return programs(page)
                .map(p -> ((String) p.get()[2]).replaceAll(" *//.*", ""))
                .toList();
    }
}
