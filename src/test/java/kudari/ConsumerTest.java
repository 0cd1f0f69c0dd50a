package kudari;

import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** A program elsewhere that has of our dependencies only what the pom gives to those who depend on us. */
class ConsumerTest {

    private static final Path CLASSES = Path.of("target/classes").toAbsolutePath();

    /** Those that need more, and say so. */
    private static final Pattern OPTIONAL =
            Pattern.compile("kudari\\.(cli|test|djl|torch)\\..*|kudari\\.report\\.PngCharts.*|kudari\\.OpenBlas");

    @TempDir
    private Path folder;

    /** The jars of the dependencies that are neither optional nor of a scope that nobody inherits. */
    private static List<Path> inherited() throws Exception {
        NodeList all = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(new File("pom.xml"))
                .getElementsByTagName("dependency");
        String path = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        List<Path> jars = new ArrayList<>();
        for (int n = 0; n < all.getLength(); n++) {
            Element dependency = (Element) all.item(n);
            boolean ours =
                    dependency.getParentNode().getParentNode().getNodeName().equals("project");
            String text = dependency.getTextContent(), name = text(dependency, "artifactId");
            if (!ours
                    || text(dependency, "optional").equals("true")
                    || !text(dependency, "scope").isEmpty()) continue;
            List<Path> found = Arrays.stream(path.split(File.pathSeparator))
                    .map(Path::of)
                    .filter(jar -> jar.getFileName().toString().matches(Pattern.quote(name) + "-\\d.*\\.jar"))
                    .toList();
            assertEquals(1, found.size(), () -> name + ": " + found + " for " + text);
            jars.addAll(found);
        }
        return jars;
    }

    private static String text(Element of, String name) {
        NodeList found = of.getElementsByTagName(name);
        return found.getLength() == 0 ? "" : found.item(0).getTextContent().strip();
    }

    private static String classPath() throws Exception {
        return Stream.concat(Stream.of(CLASSES), inherited().stream())
                .map(Path::toString)
                .collect(joining(File.pathSeparator));
    }

    /** Every class of ours but the commands and the adapters, which nobody loads without what they adapt to. */
    private static List<String> classes() throws IOException {
        try (Stream<Path> files = Files.walk(CLASSES.resolve("kudari"))) {
            return files.map(file -> CLASSES.relativize(file).toString())
                    .filter(file -> file.endsWith(".class") && !file.matches("kudari/(cli|djl|torch)/.*"))
                    .map(file -> file.replaceFirst("\\.class$", "").replace('/', '.'))
                    .sorted()
                    .toList();
        }
    }

    private String java(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dkudari.cache=" + folder.resolve("cache")));
        command.addAll(List.of(arguments));
        Process java = new ProcessBuilder(command).redirectErrorStream(true).start();
        String out = new String(java.getInputStream().readAllBytes());
        assertEquals(0, java.waitFor(), out);
        return out;
    }

    private static void tool(String name, String... arguments) {
        StringWriter said = new StringWriter();
        PrintWriter out = new PrintWriter(said);
        assertEquals(0, ToolProvider.findFirst(name).orElseThrow().run(out, out, arguments), said::toString);
    }

    @Test
    void everyPublicClassLoads() throws Exception {
        Path source = Files.writeString(folder.resolve("Load.java"), """
                import java.lang.reflect.Modifier;
                public class Load {
                  public static void main(String[] names) throws Exception {
                    for (String name : names) {
                      try {
                        Class<?> of = Class.forName(name, false, Load.class.getClassLoader());
                        if (!Modifier.isPublic(of.getModifiers())) continue;
                        Class.forName(name);
                        of.getMethods();
                        of.getConstructors();
                        of.getFields();
                      } catch (LinkageError e) {
                        System.out.println(name + ": " + e);
                      }
                    }
                  }
                }
                """);
        List<String> arguments = new ArrayList<>(List.of("-cp", classPath(), source.toString()));
        arguments.addAll(classes());
        assertEquals("", java(arguments.toArray(String[]::new)));
    }

    @Test
    void noOtherClassUsesAnOptionalDependency() throws Exception {
        StringWriter said = new StringWriter();
        PrintWriter out = new PrintWriter(said);
        String path = classPath();
        int status = ToolProvider.findFirst("jdeps")
                .orElseThrow()
                .run(out, out, "--missing-deps", "--multi-release", "base", "-cp", path, CLASSES.toString());
        assertEquals(0, status, said::toString);
        Set<String> using = new TreeSet<>();
        Matcher line =
                Pattern.compile("(?m)^\\s+(kudari\\.\\S+)\\s+->.*not found").matcher(said.toString());
        while (line.find()) using.add(line.group(1));
        assertTrue(using.contains("kudari.OpenBlas"), said::toString); // it sees them
        assertEquals(
                List.of(),
                using.stream().filter(name -> !OPTIONAL.matcher(name).matches()).toList());
    }

    /** Uses what needs nothing else, and is told what the network needs. */
    private static final String PROGRAM = """
            import java.nio.*;
            import java.nio.file.*;
            import java.util.Map;
            import kudari.*;
            import kudari.checkpoint.*;
            import kudari.data.*;
            import kudari.nn.*;
            import kudari.rule.*;
            public class Program {
              public static void main(String[] arguments) throws Exception {
                try (Engine engine = Engine.cpu(2)) {
                  Map<String, Tensor> params = Map.of("w", engine.tensor(new float[] {1}));
                  Optimizer sgd = engine.optimizer(LearningRate.constant(0.5).of(Sgd.of()));
                  sgd.update(params, Map.of("w", engine.tensor(new float[] {1})));
                  Path file = Path.of(arguments[0]);
                  Safetensors.of(Map.of(), Map.of("w", new Safetensors.Values(new long[] {1}, params.get("w").get()))).write(file);
                  System.out.println(params.get("w").get()[0] + " " + Safetensors.read(file).tensors().keySet());
                  try {
                    new Network(engine, Init.HE, 1, 2, 2);
                  } catch (UnsupportedOperationException e) {
                    System.out.println(e.getMessage());
                  }
                  try {
                    kudari.report.Report.open(file.resolveSibling("report"), false);
                  } catch (UnsupportedOperationException e) {
                    System.out.println(e.getMessage() + Files.exists(file.resolveSibling("report")));
                  }
                }
                try (CpuEngine engine = Engine.cpu(1)) {
                  FloatBuffer both = ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder()).asFloatBuffer();
                  Tensor grad = engine.wrap(both.slice(1, 1));
                  grad.set(8);
                  engine.optimizer(Sgd.of()).update(engine.wrap(both.slice(0, 1)), grad);
                  System.out.println("wrapped " + both.get(0));
                }
                try (CpuEngine engine = Engine.cpu(1)) {
                  Tensor matrix = engine.zeros(1, 2);
                  engine.optimizer(Muon.of(1).iterations(1)).update(matrix, engine.tensor(new float[] {3, -4}, 1, 2));
                  System.out.println("muon " + matrix.get()[0] + " " + matrix.get()[1]); // by plain loops
                }
                Engine.open().close();
              }
            }
            """;

    private static void assertRan(String out) {
        assertTrue(out.contains("0.5 [w]\n"), out);
        assertTrue(out.contains("wrapped -0.08\n"), out); // Java has told where the buffers are
        assertTrue(out.contains("org.bytedeco:openblas"), out);
        // 3.4445 − 4.7750 + 2.0315 is 0.701, of the direction (0.6, −0.8).
        Matcher muon = Pattern.compile("muon (\\S+) (\\S+)").matcher(out);
        assertTrue(muon.find() && out.contains("matrices are multiplied by plain loops"), out);
        assertEquals(-0.4206, Double.parseDouble(muon.group(1)), 1e-5);
        assertEquals(0.5608, Double.parseDouble(muon.group(2)), 1e-5);
        assertTrue(out.contains("a report needs org.webjars:echarts:5.5.0 on the class pathfalse"), out);
        assertTrue(
                out.contains("cpu") && out.contains("because") || out.contains("cuda:0"),
                out); // without any logger of one's own
    }

    @Test
    void aProgramOnTheClassPathRuns() throws Exception {
        Path source = Files.writeString(folder.resolve("Program.java"), PROGRAM);
        assertRan(java(
                "-cp", classPath(), source.toString(), folder.resolve("file").toString()));
    }

    @Test
    void aProgramOnTheModulePathRuns() throws Exception {
        Path jar = folder.resolve("kudari-1.jar"), source = Files.createDirectories(folder.resolve("source"));
        Path manifest = Files.writeString(folder.resolve("manifest"), "Automatic-Module-Name: kudari\n");
        tool("jar", "cfm", jar.toString(), manifest.toString(), "-C", CLASSES.toString(), "kudari");
        Files.writeString(
                source.resolve("module-info.java"),
                "module program { requires kudari; requires com.google.gson; requires jdk.unsupported; }\n");
        Files.createDirectory(source.resolve("program"));
        Files.writeString(source.resolve("program/Program.java"), "package program;\n" + PROGRAM);
        String path = Stream.concat(Stream.of(jar), inherited().stream())
                .map(Path::toString)
                .collect(joining(File.pathSeparator));
        String classes = folder.resolve("classes").toString();
        tool("javac", "-d", classes, "-p", path, source + "/module-info.java", source + "/program/Program.java");
        assertRan(java(
                "-p",
                path + File.pathSeparator + classes,
                "-m",
                "program/program.Program",
                folder.resolve("file").toString()));
    }
}
