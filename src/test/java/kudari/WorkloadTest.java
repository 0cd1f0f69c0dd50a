package kudari;

import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
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

    @Test
    void theArticlesRulesAreTimedOverEverySetAndAllOthersOverTwo() {
        Set<Workload> all = Workload.all(Workload.SHAPES);
        for (String shape : Workload.SHAPES)
            for (String rule : Workload.EVERYWHERE)
                assertTrue(all.contains(new Workload(rule, shape)), rule + " " + shape);
        Set<String> others =
                RulesTest.TABLE.stream().map(RulesTest.Row::toString).collect(toSet());
        Workload.EVERYWHERE.forEach(others::remove);
        for (String rule : others) {
            List<String> shapes = all.stream()
                    .filter(work -> work.rule().equals(rule))
                    .map(Workload::shape)
                    .toList();
            assertEquals(List.of("1e8", "1000x1024"), shapes, rule);
        }
        assertEquals(Workload.EVERYWHERE.size() * Workload.SHAPES.size() + 2 * others.size(), all.size());
    }

    @Test
    void everyRuleComesBeforeTheRestOfTheSets() {
        List<String> first = Workload.all(Workload.SHAPES).stream()
                .limit(5 + Workload.RULES.size())
                .map(Workload::rule)
                .distinct()
                .toList();
        assertEquals(Workload.RULES, first);
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
