package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** What the scripts do on machines that lack something, or that have it and it does not start: programs that pretend stand first on the path. */
@EnabledOnOs(OS.LINUX)
class ScriptsTest {

    private static final Path SETUP = Path.of("scripts", "setup.sh").toAbsolutePath();

    @TempDir
    private Path folder;

    private Path programs;

    @BeforeEach
    void installPrograms() throws IOException {
        programs = Files.createDirectory(folder.resolve("programs"));
        program("javac", "echo javac 17.0.1");
        program("mvn", "printf '%s\\n' \"$@\" \"MAVEN_OPTS=$MAVEN_OPTS\"");
        program("fc-list", "echo a font");
        program("apt-get", "echo \"apt-get $*\" >>\"" + folder + "/apt\"");
    }

    private void program(String name, String body) throws IOException {
        Path file = Files.writeString(programs.resolve(name), "#!/bin/sh\n" + body + "\n");
        assertTrue(file.toFile().setExecutable(true));
    }

    private record Run(int status, String out, String err) {}

    /** Runs lines of bash behind setup.sh. */
    private Run run(String lines, Map<String, String> environment) throws Exception {
        Path out = folder.resolve("out"), err = folder.resolve("err");
        ProcessBuilder builder = new ProcessBuilder("bash", "-c", "source '" + SETUP + "'\n" + lines)
                .redirectOutput(out.toFile())
                .redirectError(err.toFile());
        builder.environment().keySet().removeAll(List.of("JAVA_HOME", "MAVEN_OPTS", "XDG_CACHE_HOME"));
        builder.environment().put("PATH", programs + ":" + System.getenv("PATH"));
        builder.environment().putAll(environment);
        Process process = builder.start();
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it does not end");
        return new Run(process.exitValue(), Files.readString(out), Files.readString(err));
    }

    private void assertNothingInstalled() {
        assertFalse(Files.exists(folder.resolve("apt")), "apt-get was called");
    }

    @Test
    void whereNothingIsMissingNothingIsInstalled() throws Exception {
        Run run = run("set_up", Map.of());
        assertEquals(0, run.status, run.err);
        assertEquals("", run.err);
        assertNothingInstalled();
    }

    @Test
    void aCompilerThatDoesNotStartIsNotMissing() throws Exception {
        program(
                "javac",
                "echo Error occurred during initialization of VM; echo Could not reserve enough space; exit 1");
        Run run = run("set_up", Map.of());
        assertNotEquals(0, run.status);
        assertTrue(
                run.err.contains(
                        "does not start; it says: Error occurred during initialization of VM Could not reserve"),
                run.err);
        assertTrue(run.err.contains("JAVA_HOME"), run.err);
        assertNothingInstalled();
    }

    @Test
    void fontsThatCannotBeListedAreNotMissing() throws Exception {
        program("fc-list", "exit 134");
        assertEquals("", run("set_up", Map.of()).err);
        assertNothingInstalled();
    }

    @Test
    void theLibrariesThatJavaDrawsTextWithAreLookedFor() throws Exception {
        program("ldd", "printf '\\tlibharfbuzz.so.0 => not found\\n\\tlibfreetype.so.6 => /lib/libfreetype.so.6\\n'");
        Run run = run("look; echo \"${wanted[*]}\"", Map.of());
        assertEquals("libharfbuzz0b", run.out.strip(), run.err);
    }

    @Test
    void withoutUtf8InTheLocaleNamesOfFilesAreUtf8AllTheSame() throws Exception {
        assertEquals("UTF-8", run("locale charmap", Map.of("LC_ALL", "C")).out.strip());
        assertEquals(
                "C.UTF-8", run("echo $LC_ALL", Map.of("LC_ALL", "C.UTF-8")).out.strip());
    }

    @Test
    void theHomeFolderIsHome() throws Exception {
        Run run = run("maven x", Map.of("HOME", folder.toString()));
        assertTrue(run.out.contains("-Duser.home=" + folder), run.out);
        assertFalse(run.out.contains("maven.repo.local"), run.out);
    }

    @Test
    void withoutHomeItIsThatOfTheTableOfUsers() throws Exception {
        for (String unset : new String[] {"unset HOME", "HOME="}) {
            ProcessBuilder bash = new ProcessBuilder("bash", "-c", unset + "; source '" + SETUP + "'; echo \"$HOME\"");
            Process process = bash.start();
            String out = new String(process.getInputStream().readAllBytes()).strip();
            String err = new String(process.getErrorStream().readAllBytes());
            assertEquals(0, process.waitFor(), err);
            assertTrue(out.startsWith("/"), out + err);
        }
    }

    @Test
    void aHomeFolderThatCannotBeWrittenIsLeftAlone() throws Exception {
        Run run = run("maven x; echo $XDG_CACHE_HOME", Map.of("HOME", "/dev/null/home"));
        Path target = SETUP.getParent().resolveSibling("target");
        assertTrue(run.out.contains("-Dmaven.repo.local=" + target.resolve("repository")), run.out + run.err);
        assertTrue(run.out.endsWith("\n" + target.resolve("cache") + "\n"), run.out);
    }
}
