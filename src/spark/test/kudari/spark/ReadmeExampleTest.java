package kudari.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The loop of one's own that the READMEs show compiles and trains, in a program around it. */
@Timeout(150)
class ReadmeExampleTest {

    private static final Pattern LOOP =
            Pattern.compile("```java\n(List<Float> losses = TrainingJob(?:(?!```).)*)```", Pattern.DOTALL);

    /** Digits as an RDD has them, on two ranks that are threads. */
    private static final String PROGRAM = """
            import java.util.*;
            import kudari.*;
            import kudari.data.*;
            import kudari.nn.*;
            import kudari.rule.Adam;
            import kudari.spark.*;
            import org.apache.spark.SparkConf;
            import org.apache.spark.api.java.*;

            public class Example {
              record Digit(float[] pixels, int label) implements java.io.Serializable {
                static Samples samples(Engine engine, List<Digit> digits) {
                  float[] x = new float[784 * digits.size()];
                  int[] labels = new int[digits.size()];
                  for (int i = 0; i < labels.length; i++) {
                    System.arraycopy(digits.get(i).pixels, 0, x, 784 * i, 784);
                    labels[i] = digits.get(i).label;
                  }
                  return new Samples(engine, x, labels);
                }
              }

              public static void main(String[] args) throws Exception {
                SparkConf conf = new SparkConf().setMaster("local[2]").setAppName("example").set("spark.ui.enabled", "false");
                try (JavaSparkContext spark = new JavaSparkContext(conf)) {
                  Dataset set = Digits.train(200, 1);
                  List<Digit> all = new ArrayList<>();
                  for (int i = 0; i < 200; i++)
                    all.add(new Digit(Arrays.copyOfRange(set.x(), 784 * i, 784 * (i + 1)), set.labels()[i]));
                  JavaRDD<Digit> samples = spark.parallelize(all, 2);
                  LOOP
                  System.out.println("LOSSES " + losses.get(0) + " " + losses.get(1));
                }
                System.exit(0); // Spark 3.5 leaves a timer of its barriers that keeps a process of local[n] alive
              }
            }
            """;

    private static String loop(String page) throws IOException {
        Matcher loop = LOOP.matcher(Files.readString(Path.of(page)));
        assertTrue(loop.find(), page + " shows it");
        return loop.group(1);
    }

    @Test
    void bothPagesShowTheSameLoop() throws IOException {
        assertEquals(
                loop("README.md").replaceAll(" *//.*", ""), loop("README.ja.md").replaceAll(" *//.*", ""));
    }

    @Test
    void theLoopTrains(@TempDir Path folder) throws Exception {
        String loop = loop("README.md")
                .replace(
                        "hdfs:///models/digits",
                        folder.resolve("checkpoints").toUri().toString());
        Path source = Files.writeString(folder.resolve("Example.java"), PROGRAM.replace("LOOP", loop));
        String path = System.getProperty("java.class.path"), with = folder + File.pathSeparator + path;
        int status = ToolProvider.getSystemJavaCompiler()
                .run(null, null, null, "-proc:none", "-d", folder.toString(), "-cp", path, source.toString());
        assertEquals(0, status);
        Path out = folder.resolve("out"), err = folder.resolve("err");
        Process java = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx600m",
                        "--enable-native-access=ALL-UNNAMED",
                        "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED", // for Spark 3.5
                        "-cp",
                        with,
                        "Example")
                .redirectOutput(out.toFile())
                .redirectError(err.toFile())
                .start();
        assertTrue(java.waitFor(120, TimeUnit.SECONDS), "it ends");
        assertEquals(0, java.exitValue(), Files.readString(err));
        List<String> said = List.of(Files.readString(out).strip().split(" "));
        assertEquals("LOSSES", said.get(0));
        // Of ten classes, without training: ln 10 = 2.3.
        for (String loss : said.subList(1, 3)) assertTrue(Float.parseFloat(loss) < 2.0f, said.toString());
        assertTrue(Files.exists(folder.resolve("checkpoints/attempt-0000000001/step-0000000040/_SUCCESS")));
    }
}
