package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import kudari.rule.FactoredRule;
import kudari.rule.MatrixRule;
import kudari.rule.Rule;
import kudari.rule.TensorRule;
import kudari.test.LoopText;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The kernels as text and as NVRTC compiles them; no device is needed to see either. */
class KernelsTest {

    private static final boolean ALL =
            System.getProperty("kudari.laws", "pairs").equals("all");

    private static final Pattern REGISTERS = Pattern.compile("Used (\\d+) registers");
    private static final Pattern STEP =
            Pattern.compile("^(?:TENSOR_|MATRIX_)?STEP\\(\\w+, (\\d)\\)", Pattern.MULTILINE);
    private static final Pattern SPILLS = Pattern.compile("(\\d+) bytes spill (?:stores|loads)");

    static Stream<Arguments> kernels() {
        return Rule.classes().stream()
                .map(Class::getSimpleName)
                .map(name -> Arguments.of(name, name.toLowerCase(Locale.ROOT)));
    }

    /** Without those of rules that factor, whose loops also look for the factors of a row and of columns. */
    static Stream<Arguments> unfactored() {
        return RulesTest.TABLE.stream()
                .filter(row -> !(row.of().apply(1) instanceof FactoredRule))
                .map(row -> Arguments.of(row.toString(), row.toString().toLowerCase(Locale.ROOT)));
    }

    /** Every file of kernels/, rules and others. */
    static Stream<String> files() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("kernels"))) {
            return files
                    .map(file -> file.getFileName().toString())
                    .filter(name -> name.endsWith(".cu"))
                    .sorted()
                    .toList()
                    .stream();
        }
    }

    static Stream<Arguments> compilations() throws IOException {
        List<Integer> capabilities = ALL ? List.of(70, 75, 80, 90, 100, 120) : List.of(70, 90, 120);
        return files().flatMap(file -> capabilities.stream().map(capability -> Arguments.of(file, capability)));
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void theKernelsLinesAreTheRulesLines(String rule, String kernel) throws IOException {
        String java = Files.readString(Path.of("src/main/java/kudari/rule/" + rule + ".java"));
        String cuda = Files.readString(Path.of("kernels/" + kernel + ".cu"));
        List<String> loops = LoopText.statements(java, "public void apply(");
        assertEquals(loops, LoopText.statements(cuda, "STEP(" + kernel));
        assertTrue(loops.contains("each i{"), "it has a loop");
        for (String[] part : new String[][] {
            {"public void gather(", "GATHER("},
            {"public float trust(", "TRUST("},
            {"public float moment(", "MOMENT("},
            {"public float factor(", "FACTOR("}
        }) {
            assertEquals(java.contains(part[0]), cuda.contains(part[1]), part[1]);
            if (java.contains(part[0]))
                assertEquals(LoopText.statements(java, part[0]), LoopText.statements(cuda, part[1] + kernel));
        }
    }

    /** What the loops call is the same text, too, but for the words of each language. */
    @Test
    void theFunctionsOfTheLoopsAreTheSameInBothLanguages() throws IOException {
        String java = Files.readString(Path.of("src/main/java/kudari/rule/Arithmetic.java"));
        String cuda = Files.readString(Path.of("kernels/step.cuh"));
        for (String name : List.of("gradient", "descend", "flush", "follow", "rate", "sign", "cubeRoot")) {
            assertEquals(
                    function(java, "static float " + name), function(cuda, "__device__ __forceinline__ float " + name));
        }
        for (String name : List.of("MEAN", "SQUARE")) {
            Pattern value = Pattern.compile(" float " + name + " = (\\S+);");
            assertEquals(found(value, java), found(value, cuda), name);
        }
    }

    @Test
    void theConversionsAreTheSameInBothLanguages() throws IOException {
        String java = Files.readString(Path.of("src/main/java/kudari/Conversion.java"));
        String cuda = Files.readString(Path.of("kernels/conversion.cuh"));
        for (String name : List.of(
                "int upperHalf",
                "int toBfloat16",
                "int stochastic",
                "int toBfloat16Away",
                "int remainder",
                "float joined",
                "int toFloat16",
                "float ofBfloat16",
                "float ofFloat16"))
            assertEquals(function(java, "static " + name), function(cuda, "__device__ __forceinline__ " + name));
    }

    /** No number shows the order of these operations but one of many millions. */
    @Test
    void theFactorOfANormIsTheSameExpressionInBothLanguages() throws IOException {
        Pattern factor = Pattern.compile("return \\(float\\) ?\\((norm > .*)\\);");
        String java = found(factor, Files.readString(Path.of("src/main/java/kudari/Guard.java")));
        String cuda = found(factor, Files.readString(Path.of("kernels/reduce.cu")));
        assertEquals(java.replace("maxNorm()", "max"), cuda);
    }

    @Test
    void theMoveOfALossScaleIsTheSameInBothLanguages() throws IOException {
        String java = Files.readString(Path.of("src/main/java/kudari/CpuLossScale.java"));
        String cuda = Files.readString(Path.of("kernels/reduce.cu"));
        assertEquals(
                function(java, "private void move").replace("boolean", "bool").replaceAll("\\[0]|\\s", ""),
                function(cuda, "__device__ __forceinline__ void move").replaceAll("Loss& loss,|loss\\.|\\s", ""));
    }

    /** Its parameters and its body, without comments. */
    private static String function(String text, String head) {
        int from = text.indexOf(head + "(");
        assertTrue(from >= 0, "no " + head);
        String rest = text.substring(from + head.length());
        return rest.split("\n( {4})?}", 2)[0].replaceAll("//.*", "").replaceAll("\\s+", " ");
    }

    private static String found(Pattern pattern, String text) {
        Matcher matcher = pattern.matcher(text);
        assertTrue(matcher.find(), pattern.pattern());
        return matcher.group(1);
    }

    @ParameterizedTest(name = "{0} for sm_{1}")
    @MethodSource("compilations")
    void aKernelFitsItsRegistersAndSpillsNothing(String file, int capability) {
        String[] options = Stream.concat(Stream.of(Nvrtc.options(capability, false)), Stream.of("--ptxas-options=-v"))
                .toArray(String[]::new);
        List<Nvrtc.Source> plain = variants(file), sources = new ArrayList<>(plain);
        if (plain.get(0).text().contains("STEP(")) {
            sources.addAll(variants16(file));
            sources.addAll(variantsOfState(file));
        }
        // What has most to hold is seen on the oldest and the newest, and all of it on one between; before a release
        // all on all.
        if (!ALL && capability != 90) sources = sources.subList(sources.size() - 1, sources.size());
        for (Nvrtc.Source source : sources) {
            String log = Nvrtc.compile(source, options).log();
            List<Integer> registers = numbers(REGISTERS, log), spills = numbers(SPILLS, log);
            assertFalse(registers.isEmpty(), log);
            assertTrue(registers.stream().allMatch(n -> n <= registersOf(file, source)), log);
            assertEquals(Collections.nCopies(2 * registers.size(), 0), spills, log);
        }
    }

    /** What step.cuh leaves a thread of a rule, by its state arrays. */
    private static int registersOf(String file, Nvrtc.Source source) {
        if (file.equals("nn.cu")) return 255; // the cross-entropy is one block, which has a multiprocessor to itself
        if (source.text().contains("FACTOR(")) return 128; // which are found in double, too
        if (source.text().contains("GATHER(")) return 80; // whose sums are in double
        if (source.text().contains("#define BLOCKWISE")) return 128;
        Matcher step = STEP.matcher(source.text());
        int own = step.find() ? Integer.parseInt(step.group(1)) : 0, states = own;
        boolean averaged = source.text().contains(StepSource.AVERAGED);
        if (averaged) states++;
        if (source.text().contains(StepSource.STOCHASTIC) || source.text().contains(StepSource.RANDOM_STATE))
            states += 2;
        if (own == 2 && !averaged && source.text().contains("#define PARAM")) states++; // of eight elements
        return states < 3 ? 64 : states < 4 ? 80 : 128;
    }

    /** Those of a network for each type; any other kernel as it is, and the one of a rule also as it leaves 0 in the gradients, without an average and with one. */
    private static List<Nvrtc.Source> variants(String file) {
        Nvrtc.Source plain = Nvrtc.Source.of(file);
        if (file.equals("nn.cu"))
            return List.of(plain, with(file, "#define DTYPE BF16\n"), with(file, "#define DTYPE F16\n"));
        if (!plain.text().contains("STEP(")) return List.of(plain);
        return List.of(plain, with(file, StepSource.ZEROES), with(file, StepSource.ZEROES + StepSource.AVERAGED));
    }

    /** The kernels of a rule over bfloat16: with masters, rounded stochastically, and with remainders, of which the last has an average, too. */
    private static List<Nvrtc.Source> variants16(String file) {
        List<Nvrtc.Source> variants = new ArrayList<>();
        for (Master.Kind kind : List.of(Master.Kind.FLOAT32, Master.Kind.STOCHASTIC, Master.Kind.REMAINDER)) {
            String head = StepSource.head(new Types(Dtype.BF16, Dtype.BF16, kind, StateFormat.FLOAT32));
            variants.add(with(file, StepSource.ZEROES + head));
            if (kind == Master.Kind.REMAINDER) variants.add(with(file, StepSource.ZEROES + StepSource.AVERAGED + head));
        }
        return variants;
    }

    /** Those with state in fewer bits, of a rule that takes it; the last has most to hold. */
    private static List<Nvrtc.Source> variantsOfState(String file) {
        Rule rule = rule(file);
        List<Nvrtc.Source> variants = new ArrayList<>();
        for (StateFormat format :
                List.of(StateFormat.BFLOAT16, StateFormat.BFLOAT16_STOCHASTIC, StateFormat.BLOCKWISE_8BIT)) {
            if (!format.fits(rule)) continue;
            for (Master.Kind kind : List.of(Master.Kind.FLOAT32, Master.Kind.REMAINDER, Master.Kind.STOCHASTIC)) {
                Types types = new Types(Dtype.BF16, Dtype.BF16, kind, format);
                String head = StepSource.head(types) + StepSource.head(rule, types);
                variants.add(with(file, head));
                variants.add(with(file, StepSource.ZEROES + StepSource.AVERAGED + head));
            }
        }
        return variants;
    }

    /** The rule of a kernel, by its name. */
    private static Rule rule(String file) {
        try {
            return (Rule) Rule.classes().stream()
                    .filter(type -> file.equals(type.getSimpleName().toLowerCase(Locale.ROOT) + ".cu"))
                    .findFirst()
                    .orElseThrow()
                    .getMethod("of", double.class)
                    .invoke(null, 1);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(file, e);
        }
    }

    private static Nvrtc.Source with(String file, String head) {
        return Nvrtc.Source.of(
                file, head + StepSource.LINES + Nvrtc.Source.of(file).text());
    }

    private static List<Integer> numbers(Pattern pattern, String log) {
        return pattern.matcher(log)
                .results()
                .map(found -> Integer.valueOf(found.group(1)))
                .toList();
    }

    @ParameterizedTest
    @MethodSource("files")
    void everyOperationIsOneOfIeee754(String file) {
        // The logarithm in double of nn.cu starts from a guess, which it then makes exact to the last bits.
        for (Nvrtc.Source source : variants(file)) {
            String ptx = ptx(source);
            if (file.equals("nn.cu")) ptx = ptx.replace("rcp.approx.ftz.f64", "");
            for (String forbidden : List.of("fma.rn.f32", ".approx", ".ftz")) {
                assertFalse(ptx.contains(forbidden), forbidden);
            }
        }
    }

    /** A matrix of more than 2³¹ elements is more than the GPU in software steps through in an hour; its text shows what would go wrong with it. */
    @ParameterizedTest
    @ValueSource(strings = {"nn.cu", "tensor.cu", "reduce.cu"})
    void noProductOfIndicesLosesItsUpperHalf(String file) {
        String ptx = ptx(file);
        assertTrue(ptx.contains(".visible .entry"), ptx);
        for (String narrow : List.of("mul.lo.s32", "mul.lo.u32", "mad.lo.s32", "mad.lo.u32")) {
            assertFalse(ptx.contains(narrow), narrow);
        }
    }

    private static String ptx(String file) {
        return ptx(Nvrtc.Source.of(file));
    }

    private static String ptx(Nvrtc.Source source) {
        return ptx(source, 75);
    }

    private static String ptx(Nvrtc.Source source, int capability) {
        return new String(Nvrtc.compile(source, Nvrtc.options(capability, true)).code(), StandardCharsets.UTF_8);
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void everyStreamOfAStepIs16BytesWide(String rule, String kernel) throws ReflectiveOperationException {
        String ptx = ptx(kernel + ".cu");
        Class<?> type = Rule.classes().stream()
                .filter(each -> each.getSimpleName().equals(rule))
                .findFirst()
                .orElseThrow();
        Rule one = (Rule) type.getMethod("of", double.class).invoke(null, 1);
        int states = StepSource.of(one, false, false).arrays();
        boolean matrix = one instanceof MatrixRule;
        boolean gathers = matrix || one instanceof TensorRule whole && whole.gathers();
        // The last array of a matrix is its update, which is not read before.
        int before = matrix ? 1 + states : 2 + states;
        // A loop before has gathered the gradients, through the cache.
        int read = gathers ? 1 + states : 2 + states, written = gathers ? 1 : 1 + states;
        // By two loops, of which one also clips each element and flushes parameters.
        assertEquals(2 * read, count(ptx, "ld.global.cs.v4.f32"), "p, g and the state are read");
        assertEquals(2 * written, count(ptx, "st.global.cs.v4.f32"), "p and the state are written");
        // Of a rule that factors, the moments need p and g before that, and those of a vector its own; each of the two
        // loops needs those again.
        if (one instanceof FactoredRule) before += 2 + 2 + 1 + 2;
        assertEquals(gathers ? before : 0, count(ptx, "ld.global.v4.f32"), "p, g and the state are read before");
        assertEquals(gathers ? states : 0, count(ptx, "st.global.v4.f32"), "the state is written before");
        // And once more in each where the step is left out.
        String zeroes = ptx(with(kernel + ".cu", StepSource.ZEROES));
        assertEquals(2 * (written + 2), count(zeroes, "st.global.cs.v4.f32"), "and 0 into g");
        String averaged = ptx(with(kernel + ".cu", StepSource.AVERAGED));
        assertEquals(2 * (read + 1), count(averaged, "ld.global.cs.v4.f32"), "an average is read");
        assertEquals(2 * (written + 1), count(averaged, "st.global.cs.v4.f32"), "and written");
    }

    /** Newer devices take eight elements at a time of a rule of two arrays or fewer that looks at no more than an element: 16 bytes of those of 16 bits. */
    @ParameterizedTest
    @CsvSource({"adam, 2, true", "sgd, 0, true", "lion, 1, true", "adan, 4, false", "lars, 1, false"})
    void everyStreamOf16BitsIs16BytesWideWhereRegistersHoldIt(String kernel, int states, boolean wide) {
        String ptx = ptx(
                with(
                        kernel + ".cu",
                        StepSource.head(new Types(Dtype.BF16, Dtype.BF16, Master.Kind.FLOAT32, StateFormat.FLOAT32))),
                80);
        assertEquals(wide ? 2 : 0, count(ptx, "ld.global.cs.v4.u32"), "g is read");
        assertEquals(wide ? 2 : 0, count(ptx, "st.global.cs.v4.u32"), "p is written");
        assertEquals(wide ? 0 : 2, count(ptx, "ld.global.cs.v4.u16"), "g is read");
        assertEquals(
                (wide ? 4 : 2) * (1 + states), count(ptx, "ld.global.cs.v4.f32"), "the master and the state are read");
        assertEquals((wide ? 4 : 2) * (1 + states), count(ptx, "st.global.cs.v4.f32"), "and written");
    }

    /** Older devices, four: 8 bytes; a master in the place of the parameter, which is only written. */
    @ParameterizedTest
    @CsvSource({"adam, 2", "sgd, 0", "lars, 1"})
    void everyStreamOf16BitsIs8BytesWide(String kernel, int states) {
        String master = ptx(with(
                kernel + ".cu",
                StepSource.head(new Types(Dtype.BF16, Dtype.BF16, Master.Kind.FLOAT32, StateFormat.FLOAT32))));
        assertEquals(2, count(master, "ld.global.cs.v4.u16"), "g is read");
        assertEquals(2, count(master, "st.global.cs.v4.u16"), "p is written");
        assertEquals(2 * (1 + states), count(master, "ld.global.cs.v4.f32"), "the master and the state are read");
        assertEquals(2 * (1 + states), count(master, "st.global.cs.v4.f32"), "and written");
        String none = ptx(with(
                kernel + ".cu",
                StepSource.head(new Types(Dtype.BF16, Dtype.F32, Master.Kind.STOCHASTIC, StateFormat.FLOAT32))));
        assertEquals(2, count(none, "ld.global.cs.v4.u16"), "p is read");
        assertEquals(2, count(none, "st.global.cs.v4.u16"), "and written");
        assertEquals(2 * (1 + states), count(none, "ld.global.cs.v4.f32"), "g and the state are read");
        assertEquals(2 * states, count(none, "st.global.cs.v4.f32"), "the state is written");
    }

    /**
     * A loop over 16 bytes at a time is told by its loads: from the first of them up to the branch back there is no load but theirs, so neither the
     * chunk table nor the scalars are read again, and no test of an address, so that alignment is tested once for a chunk.
     */
    @ParameterizedTest
    @MethodSource("unfactored")
    void aTurnOfALoopReadsItsElementsAndNothingElse(String rule, String kernel) {
        List<String> lines = ptx(kernel + ".cu").lines().toList();
        int loops = 0;
        for (int to = 0, load; (load = first(lines, "ld.global.cs.v4.f32", to)) >= 0; loops++) {
            int from = load;
            while (!lines.get(from).startsWith("$L")) from--;
            String label = lines.get(from).replace(":", "").strip();
            to = first(lines, "bra \t" + label + ";", load);
            assertTrue(to > load, "no branch back to " + label);
            List<String> turn = lines.subList(from, to);
            assertTrue(turn.stream().anyMatch(line -> line.contains("st.global.cs.v4.f32")), "the loop stores");
            assertEquals(
                    List.of(),
                    turn.stream()
                            .filter(line -> line.contains("ld.global") && !line.contains("ld.global.cs.v4.f32")
                                    || line.contains("and.b64"))
                            .toList());
        }
        assertEquals(2, loops, "one as most steps are, and one that clips elements and flushes parameters, too");
    }

    private static int first(List<String> lines, String part, int from) {
        for (int n = from; n < lines.size(); n++) if (lines.get(n).contains(part)) return n;
        return -1;
    }

    /** A block's partial is written, then fenced, then counted; and who counts last fences again before it reads. No GPU in software shows it. */
    @ParameterizedTest
    @CsvSource({"reduce.cu, reduce", "lamb.cu, lamb_gather"})
    void theBlocksOfASumFenceTheirPartialsOnBothSidesOfTheCounter(String file, String kernel) {
        String all = ptx(file), ptx = all.substring(all.indexOf(".entry " + kernel + "("));
        if (ptx.indexOf(".entry ", 1) > 0) ptx = ptx.substring(0, ptx.indexOf(".entry ", 1));
        int counted = ptx.indexOf("atom.global.add.u64");
        assertTrue(counted > 0, ptx);
        assertTrue(
                ptx.substring(ptx.lastIndexOf("st.volatile.global.f64", counted), counted)
                        .contains("membar.gl"),
                ptx);
        String after = ptx.substring(counted);
        assertTrue(after.substring(0, after.indexOf("ld.volatile.global.f64")).contains("membar.gl"), ptx);
    }

    private static long count(String text, String part) {
        return text.split(Pattern.quote(part), -1).length - 1;
    }

    @Test
    void aKernelThatDoesNotCompileIsShownWithItsLogAndLines() {
        Nvrtc.Source broken = new Nvrtc.Source("broken.cu", "int a;\nint b = c;\n", "");
        String message = assertThrows(CudaException.class, () -> Nvrtc.compile(broken, Nvrtc.options(75, true)))
                .getMessage();
        for (String part : List.of("broken.cu", "-fmad=false", "identifier \"c\" is undefined", "   2  int b = c;")) {
            assertTrue(message.contains(part), message);
        }
    }
}
