package kudari.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.checkpoint.Checkpoint;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The commands on a terminal, with their bars: a pseudo-terminal of util-linux's {@code script}, which every Linux has. */
@EnabledOnOs(OS.LINUX)
class TerminalTest {

    private static final byte CTRL_C = 3;

    @TempDir
    private Path folder;

    private Process script;

    /** Starts a command as {@code scripts/kudari} does where somebody watches, with no word on the locale. */
    private OutputStream start(String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:TieredStopAtLevel=1",
                "-Djava.awt.headless=true",
                "-Dkudari.columns=120",
                "-cp",
                System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                Main.class.getName()));
        command.addAll(List.of(args));
        String line = command.stream()
                .map(arg -> "'" + arg.replace("'", "'\\''") + "'")
                .collect(Collectors.joining(" "));
        // env: a background job ignores Ctrl-C, and so would its children.
        ProcessBuilder builder = new ProcessBuilder(
                        "env", "--default-signal=INT", "script", "-q", "-e", "-f", "-c", line, "/dev/null")
                .redirectErrorStream(true)
                .redirectOutput(said().toFile());
        builder.environment().keySet().removeIf(name -> name.startsWith("LC_") || name.equals("LANG"));
        script = builder.start();
        return script.getOutputStream();
    }

    private Path said() {
        return folder.resolve("said");
    }

    private String screen() throws IOException {
        return new String(Files.readAllBytes(said()), StandardCharsets.UTF_8);
    }

    private int end() throws Exception {
        assertTrue(script.waitFor(120, TimeUnit.SECONDS), screen());
        return script.exitValue();
    }

    private void await(Path file) throws Exception {
        for (int n = 0; n < 12_000 && !(Files.exists(file) && Files.size(file) > 0); n++) {
            assertTrue(script.isAlive(), screen());
            Thread.sleep(10);
        }
        assertTrue(Files.exists(file), screen());
    }

    @AfterEach
    void stop() {
        if (script != null) script.descendants().forEach(ProcessHandle::destroyForcibly);
    }

    @Test
    void ctrlCSavesATrainingAndSaysHowToGoOn() throws Exception {
        Path out = folder.resolve("out"), model = out.resolve("model.safetensors");
        try (OutputStream keys = start(
                "train",
                "--data=digits:40,10",
                "--hidden=20",
                "--device=cpu",
                "--threads=1",
                "--steps=100000000",
                "--save-every=100",
                "--out=" + out)) {
            await(model);
            keys.write(CTRL_C);
            keys.flush();
            assertEquals(130, end(), screen());
        }
        Checkpoint saved = Checkpoint.read(model);
        String said = screen();
        assertTrue(
                said.contains("\nkudari: stopped after step " + saved.steps()
                        + "; to go on: scripts/kudari train --resume " + model),
                said);
        assertEquals(
                saved.steps() + 1, Files.readAllLines(out.resolve("train.csv")).size());
    }

    @Test
    void ctrlCEndsAComparisonCleanly() throws Exception {
        Path out = folder.resolve("out"), table = out.resolve("training.csv");
        try (OutputStream keys = start(
                "compare",
                "--data=digits:300,100",
                "--device=cpu",
                "--threads=1",
                "--steps=100000000",
                "--out=" + out)) {
            await(table);
            while (Files.size(table) < 100) Thread.sleep(10);
            keys.write(CTRL_C);
            keys.flush();
            assertEquals(130, end(), screen());
        }
        assertTrue(screen().contains("\nkudari: stopped; " + table), screen());
        assertTrue(Files.readString(table).endsWith(",CPU\n"), "no half lines");
        try (Stream<Path> files = Files.list(out)) {
            assertEquals(2, files.count(), "two tables and no litter");
        }
    }

    @Test
    @SuppressWarnings("try") // the terminal stays open as long as this does
    void theBarIsOneWithoutALocaleToo() throws Exception {
        try (OutputStream keys = start(
                "train",
                "--data=digits:40,10",
                "--hidden=20",
                "--device=cpu",
                "--threads=1",
                "--steps=50",
                "--out=" + folder.resolve("out"))) {
            assertEquals(0, end(), screen());
        }
        String said = screen();
        assertTrue(said.contains("train 100% |█"), said);
        assertFalse(said.contains("??"), said);
        assertTrue(said.contains("drawing 40 digits to train on and 10 to hold out"), said);
    }
}
