package kudari;

import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import kudari.rule.AdamW;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The sets of tensors are those of the models whose names they bear; the numbers are the models' publishers'. */
class WorkloadTest {

    @ParameterizedTest
    @CsvSource({
        "resnet50, 161, 25557032",
        "gpt2-124M, 148, 124439808",
        "llama-3.2-1B, 146, 1235814400",
        "gpt2-matrices, 48, 84934656",
        "2x24x16, 2, 768",
        "1e9, 1, 1000000000",
        "148x1024, 148, 151552",
        "1000, 1, 1000"
    })
    void aSetHasItsTensorsAndParameters(String shape, int tensors, long parameters) {
        Workload workload = new Workload("Adam", shape);
        assertEquals(tensors, workload.sizes().length);
        assertEquals(parameters, workload.parameters());
    }

    @ParameterizedTest
    @CsvSource({
        "Sgd, 12",
        "Momentum, 20",
        "RmsProp, 20",
        "Adam, 28",
        "Adam clipped, 32",
        "AdamW, 28",
        "Adan, 44",
        "Lars, 28",
        "NovoGrad, 28",
        "Lamb, 40",
        "Adafactor, 44"
    })
    void aStepMovesEachNumberOnceAndTheNormReadsTheGradientOnceMore(String rule, int bytes) {
        assertEquals(bytes, new Workload(rule, "1").bytes());
    }

    /** Of a matrix Adafactor's state is next to nothing: three times p and g are read, and p is written. Muon reads and writes a momentum. */
    @ParameterizedTest
    @CsvSource({"Adafactor, 28", "Muon, 20", "Muon bf16, 20", "AdamW, 28"})
    void aStepOverMatricesMovesItsOwn(String rule, int bytes) {
        assertEquals(bytes, new Workload(rule, "2x24x16").bytes());
        assertEquals(bytes, new Workload(rule, "gpt2-matrices").bytes());
    }

    @Test
    void matricesHaveTheirExtents() {
        Workload small = new Workload("Muon", "2x24x16");
        assertArrayEquals(new long[] {24, 16}, small.extents(small.sizes()[0]));
        assertEquals("2x24x16", small.runs());
        String layer = "1x2304x768 1x768x768 2x3072x768";
        assertEquals(String.join(" ", Collections.nCopies(12, layer)), new Workload("Muon", "gpt2-matrices").runs());
    }

    /** A norm or a rule's sums are a launch more, and moments of rows and columns another. */
    @ParameterizedTest
    @CsvSource({"Adam, 1", "Adam clipped, 2", "Lamb, 2", "Adafactor, 3"})
    void aStepIsSoManyKernels(String rule, int kernels) {
        assertEquals(kernels, new Workload(rule, "1").kernels());
    }

    @Test
    void theArticlesRulesAreTimedOverEverySetAndAllOthersOverTwo() {
        Set<Workload> all = Workload.all(Workload.SHAPES);
        List<String> sets = Workload.SHAPES.subList(0, Workload.SHAPES.size() - 1);
        for (String shape : sets)
            for (String rule : Workload.EVERYWHERE)
                assertTrue(all.contains(new Workload(rule, shape)), rule + " " + shape);
        for (String rule : List.of("Muon", "Muon bf16", "Adafactor", "AdamW"))
            assertTrue(all.contains(new Workload(rule, "gpt2-matrices")), rule);
        Set<String> others =
                RulesTest.TABLE.stream().map(RulesTest.Row::toString).collect(toSet());
        Workload.EVERYWHERE.forEach(others::remove);
        for (String rule : others) {
            List<String> shapes = all.stream()
                    .filter(work -> work.rule().equals(rule))
                    .map(Workload::shape)
                    .filter(sets::contains)
                    .toList();
            assertEquals(List.of("1e8", "1000x1024"), shapes, rule);
        }
        int mixed = 3 * Workload.MIXED.size();
        assertEquals(Workload.EVERYWHERE.size() * sets.size() + 2 * others.size() + 4 + mixed, all.size());
    }

    @Test
    void mixedPrecisionIsTimedOverThreeLargeSetsAndNotAsAGraph() {
        for (String rule : Workload.MIXED) {
            List<Workload> works = Workload.all(Workload.SHAPES).stream()
                    .filter(work -> work.rule().equals(rule))
                    .toList();
            assertEquals(
                    List.of("1e8", "gpt2-124M", "llama-3.2-1B"),
                    works.stream().map(Workload::shape).toList(),
                    rule);
            assertFalse(new Workload(rule, "1e4").inGraph(), rule);
        }
    }

    /** A step over a mixed workload: its type, what is kept, the bytes that it moves and takes, and its kernels. */
    @ParameterizedTest
    @CsvSource({
        "AdamW bf16 master, BF16, FLOAT32, false, false, 28, 16, 1",
        "AdamW bf16 remainder, BF16, REMAINDER, false, false, 26, 14, 1",
        "AdamW bf16 stochastic, BF16, STOCHASTIC, false, false, 22, 12, 1",
        "AdamW bf16 nearest, BF16, NEAREST, false, false, 22, 12, 1",
        "AdamW bf16 master clipped, BF16, FLOAT32, false, true, 30, 16, 2",
        "AdamW bf16 remainder clipped, BF16, REMAINDER, false, true, 28, 14, 2",
        "AdamW bf16 stochastic clipped, BF16, STOCHASTIC, false, true, 24, 12, 2",
        "AdamW bf16 nearest clipped, BF16, NEAREST, false, true, 24, 12, 2",
        "AdamW bf16 master scaled clipped, BF16, FLOAT32, true, true, 30, 16, 2",
        "AdamW fp16 master scaled clipped, F16, FLOAT32, true, true, 30, 16, 2",
        "AdamW scaled clipped, F32, FLOAT32, true, true, 32, 16, 2"
    })
    void aNameSaysWhatIsStepped(
            String rule,
            Dtype dtype,
            Master.Kind kind,
            boolean scales,
            boolean clips,
            int bytes,
            int memory,
            int kernels) {
        assertTrue(Workload.MIXED.contains(rule));
        Workload work = new Workload(rule, "1");
        assertEquals(dtype, work.dtype());
        assertEquals(kind, work.master().kind());
        assertEquals(scales, work.scales());
        assertEquals(clips, work.clips());
        assertEquals(bytes, work.bytes());
        assertEquals(memory, work.memory());
        assertEquals(kernels, work.kernels());
        assertEquals(AdamW.of(0.001), work.of());
    }

    /** The products of Muon may be of bfloat16; its parameters are not. */
    @Test
    void otherRulesAreOfFloat32() {
        assertEquals(Dtype.F32, new Workload("Muon bf16", "2x24x16").dtype());
        assertEquals(12, new Workload("Muon", "2x24x16").memory());
    }

    @Test
    void everyRuleComesBeforeTheRestOfTheSets() {
        List<String> first = Workload.all(Workload.SHAPES).stream()
                .limit(5 + Workload.RULES.size() + Workload.MIXED.size())
                .map(Workload::rule)
                .distinct()
                .toList();
        List<String> rules = new ArrayList<>(Workload.RULES);
        rules.addAll(Workload.EVERYWHERE.size(), Workload.MIXED);
        assertEquals(rules, first);
    }

    @Test
    void runsOfEqualSizesAreWrittenOnce() {
        assertEquals("3x257", new Workload("Adam", "3x257").runs());
        assertEquals(
                "1x9408 2x64 1x4096 2x64 1x36864",
                new Workload("Adam", "resnet50").runs().substring(0, 31));
    }

    @Test
    void anUnknownRuleIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> Workload.rule("Adom"));
    }
}
