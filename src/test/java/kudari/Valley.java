package kudari;

import static kudari.RulesTest.floats;

import java.util.Map;

/** The book's picture, f = x²/20 + y² from (−7, 2), with a tensor for each of the two, as the libraries' numbers were taken. */
final class Valley {

    private final Map<String, Tensor> p, g;

    Valley(Engine engine) {
        p = Map.of("x", engine.tensor(floats(-7)), "y", engine.tensor(floats(2)));
        g = Map.of("x", engine.zeros(1), "y", engine.zeros(1));
    }

    void step(Optimizer optimizer) {
        g.get("x").set(p.get("x").get()[0] / 10);
        g.get("y").set(2 * p.get("y").get()[0]);
        optimizer.update(p, g);
    }

    double[] xy() {
        return new double[] {p.get("x").get()[0], p.get("y").get()[0]};
    }
}
