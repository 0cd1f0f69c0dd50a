package kudari.softcuda;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Builds the GPU in software, and starts JVMs that find it: a libcuda.so.1 can only be chosen before a JVM starts. */
public final class SoftCuda {

    private static final Path SOURCES = Path.of("src/test/cpp/softcuda");
    private static final Path TARGET = Path.of("target").toAbsolutePath();

    private SoftCuda() {}

    /** What a child JVM left: its exit status and what it wrote. */
    public record Output(int status, String out, String err) {

        /** The cases that a {@link Probe} came to, by name. Its other lines are printed. */
        Map<String, Case> cases() {
            Map<String, Case> cases = new LinkedHashMap<>();
            for (String line : out.lines().toList()) {
                String[] parts = line.split("\t");
                if (parts.length == 3) cases.put(parts[0], new Case(Integer.parseInt(parts[1]), parts[2]));
                else System.out.println("softcuda: " + (line.length() > 300 ? line.substring(0, 300) + " …" : line));
            }
            return cases;
        }
    }

    /** What a case of a {@link Probe} came to: a CUDA error or the number of wrong values, and softcuda's reports, in JSON. */
    record Case(int code, String errors) {}

    /** Why the GPU in software cannot run here, in one sentence; empty where it can. */
    public static Optional<String> obstacle() {
        String platform = System.getProperty("os.name") + " " + System.getProperty("os.arch");
        if (!platform.equals("Linux amd64"))
            return Optional.of("The GPU in software needs Linux on x86_64; this is " + platform + ".");
        String compiler = System.getenv().getOrDefault("CXX", "g++");
        for (String folder : System.getenv().getOrDefault("PATH", "").split(File.pathSeparator))
            if (Files.isExecutable(Path.of(folder, compiler))) return Optional.empty();
        return Optional.of("The GPU in software needs a C++17 compiler; install g++ or set CXX.");
    }

    /** The folder of the freshly built libcuda.so.1. */
    public static Path build() throws IOException, InterruptedException {
        Path folder = TARGET.resolve("softcuda");
        Process build = new ProcessBuilder(SOURCES.resolve("build.sh").toString(), folder.toString())
                .redirectErrorStream(true)
                .start();
        String log = new String(build.getInputStream().readAllBytes());
        if (build.waitFor() != 0) throw new IOException("softcuda does not build:\n" + log);
        return folder;
    }

    /** Whatever it holds: a report may cut a character in two. */
    private static String text(Path file) throws IOException {
        return new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
    }

    /** Runs a main class on the GPU in software, in a JVM of its own with this one's class path. */
    public static Output run(Class<?> main, Map<String, String> environment, String... arguments)
            throws IOException, InterruptedException {
        return run(List.of(), main, environment, arguments);
    }

    /** The same, with options for the JVM. */
    public static Output run(List<String> options, Class<?> main, Map<String, String> environment, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx1g",
                "-cp",
                System.getProperty("java.class.path")));
        command.addAll(options);
        command.add(main.getName());
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().put("LD_LIBRARY_PATH", build().toString());
        builder.environment().putAll(environment);
        Path out = Files.createTempFile(TARGET, "softcuda", ".out"),
                err = Files.createTempFile(TARGET, "softcuda", ".err");
        try {
            Process child = builder.redirectOutput(out.toFile())
                    .redirectError(err.toFile())
                    .start();
            if (!child.waitFor(5, TimeUnit.MINUTES)) {
                child.destroyForcibly().waitFor();
                throw new IOException("the child JVM did not end in 5 minutes:\n" + text(err));
            }
            return new Output(child.exitValue(), Files.readString(out), text(err));
        } finally {
            Files.deleteIfExists(out);
            Files.deleteIfExists(err);
        }
    }
}
