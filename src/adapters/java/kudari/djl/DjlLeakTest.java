package kudari.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Model;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import kudari.Engine;
import kudari.Guard;
import kudari.rule.Adam;
import org.junit.jupiter.api.Test;

class DjlLeakTest {

    /** One copy of the weight, 256 KB, left behind in each step would be 2 GB; what the Java heap may grow by is part of what is allowed. */
    @Test
    void tenThousandStepsLeaveNothingBehind() throws IOException {
        try (Engine engine = Engine.cpu(1);
                Model model = Model.newInstance("leak")) {
            model.setBlock(Linear.builder().setUnits(256).build());
            var adam = engine.optimizer(Adam.of(1e-4)).guard(Guard.clipNorm(1));
            try (Trainer trainer = model.newTrainer(
                    new DefaultTrainingConfig(Loss.l2Loss()).optOptimizer(new DjlOptimizer(model.getBlock(), adam)))) {
                trainer.initialize(new Shape(1, 256));
                for (int step = 0; step < 2000; step++) step(trainer);
                int arrays = arrays(model, trainer);
                long megabytes = residentMegabytes();
                for (int step = 2000; step < 10_000; step++) step(trainer);
                assertEquals(10_000, adam.steps());
                assertEquals(arrays, arrays(model, trainer));
                long grown = residentMegabytes() - megabytes;
                assertTrue(grown < 512, grown + " MB more");
            }
        }
    }

    /** What is worked out from an array goes with the array's manager, so all but the parameters goes with this one. */
    private static void step(Trainer trainer) {
        try (NDManager manager = trainer.getManager().newSubManager()) {
            NDList x = new NDList(manager.ones(new Shape(1, 256)));
            try (GradientCollector collector = trainer.newGradientCollector()) {
                collector.backward(trainer.getLoss().evaluate(x, trainer.forward(x)));
            }
            trainer.step();
        }
    }

    /** What DJL keeps for the model and the trainer, and for nobody. */
    private static int arrays(Model model, Trainer trainer) {
        return model.getNDManager().getManagedArrays().size()
                + trainer.getManager().getManagedArrays().size();
    }

    private static long residentMegabytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status")))
            if (line.startsWith("VmRSS:")) return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
        throw new IOException("no VmRSS");
    }
}
