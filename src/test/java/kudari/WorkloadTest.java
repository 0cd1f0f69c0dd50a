package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

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
    @CsvSource({"Sgd, 12", "Momentum, 20", "RmsProp, 20", "Adam, 28", "Adam clipped, 32"})
    void aStepMovesEachNumberOnceAndTheNormReadsTheGradientOnceMore(String rule, int bytes) {
        assertEquals(bytes, new Workload(rule, "1").bytes());
    }

    @Test
    void everyRuleIsTimedOverEverySetOnce() {
        assertEquals(
                Workload.RULES.size() * Workload.SHAPES.size(),
                Workload.all(Workload.SHAPES).size());
        assertEquals(RulesTest.TABLE.size() + 1, Workload.RULES.size());
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
