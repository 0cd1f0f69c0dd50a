package kudari.cli;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.logging.Level;
import java.util.logging.Logger;
import kudari.CpuEngine;
import kudari.Diagnostics;
import kudari.Diagnostics.Check;
import kudari.Diagnostics.Status;
import kudari.Engine;
import kudari.Tensor;
import kudari.io.PrivateFolder;
import kudari.report.Report;
import kudari.rule.Sgd;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.openblas.global.openblas_nolapack;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** What works on this machine, what does not, and how to fix it. */
@Command(
        name = "doctor",
        header = "Says what works on this machine, what does not, and how to fix it.",
        description = {
            "A line for each thing looked at: ok, it works; --, it is not there; !!, it is there and does not work.",
            "Exit status 0 where the CPU engine and its networks work, whatever the GPU does; 1 where they do not.",
            ""
        },
        sortOptions = false,
        mixinStandardHelpOptions = true)
final class Doctor implements Callable<Integer> {

    /** Of all our classes; held, or its level would be forgotten. */
    private static final Logger LOG = Logger.getLogger("kudari");

    @Spec
    private CommandSpec spec;

    @Option(names = "--json", description = "the same as one JSON object")
    private boolean json;

    /**
     * The whole of it.
     *
     * @param cpu whether the CPU engine and its networks work
     * @param cuda whether a step on a CUDA device came out right
     */
    private record Diagnosis(boolean cpu, boolean cuda, List<Check> checks) {}

    @Override
    public Integer call() {
        LOG.setLevel(Level.OFF); // what is logged is said here
        List<Check> checks = new ArrayList<>(List.of(
                Check.of("Java", true, "", Doctor::java),
                Check.of("CPU engine", true, "give Java more memory with KUDARI_JAVA_OPTS=-Xmx1g", Doctor::cpu),
                Check.of(
                        "OpenBLAS",
                        true,
                        "networks on the CPU need it: put org.bytedeco:openblas on the class path, with its natives for this machine",
                        Doctor::openblas)));
        boolean cpu = checks.stream().allMatch(check -> check.status() == Status.OK);
        checks.add(Check.of("pictures", true, Report.FONTS, Doctor::pictures));
        checks.addAll(Diagnostics.cuda());
        boolean cuda = checks.stream().anyMatch(check -> check.name().equals("a step") && check.status() == Status.OK);
        print(new Diagnosis(cpu, cuda, checks));
        return cpu ? 0 : 1;
    }

    private void print(Diagnosis diagnosis) {
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            JsonSerializer<Status> status = (value, type, context) -> new JsonPrimitive(value.toString());
            out.println(new GsonBuilder()
                    .registerTypeAdapter(Status.class, status)
                    .setPrettyPrinting()
                    .disableHtmlEscaping()
                    .create()
                    .toJson(diagnosis));
            return;
        }
        diagnosis.checks.forEach(out::println);
        out.println();
        out.println("The CPU engine " + (diagnosis.cpu ? "works" : "does not work") + "; the CUDA engine "
                + (diagnosis.cuda ? "works." : "does not."));
    }

    private static String java() {
        return System.getProperty("java.version") + " (" + System.getProperty("java.vm.name") + ") on "
                + System.getProperty("os.name") + " " + System.getProperty("os.arch");
    }

    /** A step whose result is exact. */
    private static String cpu() {
        try (CpuEngine engine = Engine.cpu()) {
            Tensor param = engine.tensor(new float[] {-7, 2});
            engine.optimizer(Sgd.of(0.25)).update(param, engine.tensor(new float[] {-0.5f, 4}));
            float[] expected = {-6.875f, 1}, got = param.get();
            if (!Arrays.equals(expected, got)) {
                throw new IllegalStateException(
                        "a step of Sgd: expected " + Arrays.toString(expected) + ", got " + Arrays.toString(got));
            }
            return String.format(
                    Locale.ROOT,
                    "a step on %d threads comes out right; a heap of at most %.1f GB",
                    engine.threads(),
                    Runtime.getRuntime().maxMemory() / 0x1p30);
        }
    }

    private static String pictures() throws IOException {
        Report.checkFonts();
        return "Java draws text, as the PNGs of compare need it";
    }

    /** A product of two numbers. */
    private static String openblas() throws IOException {
        PrivateFolder.forJavaCpp();
        float[] product = new float[1];
        openblas_nolapack.cblas_sgemm(
                openblas_nolapack.CblasRowMajor,
                openblas_nolapack.CblasNoTrans,
                openblas_nolapack.CblasNoTrans,
                1,
                1,
                1,
                1,
                new float[] {3},
                1,
                new float[] {7},
                1,
                0,
                product,
                1);
        if (product[0] != 21) throw new IllegalStateException("3 times 7: expected 21, got " + product[0]);
        return "a product comes out right; unpacked into " + Loader.getCacheDir();
    }
}
