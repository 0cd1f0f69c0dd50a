package kudari;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The time in which parameters hold what is to be used of them in the place of what trains: from {@link Optimizer#evaluating} to {@link #close}. It keeps a
 * copy of what trains, on the engine.
 */
public final class Evaluation implements AutoCloseable {

    /**
     * What a parameter is to hold: a value, and multiples of state arrays, added up in float32 and rounded once.
     *
     * @param value an average, or what the parameter is in float32: its master, or itself
     * @param remainder the lower half of that, where the parameter is the upper
     * @param multiples by the state array
     */
    record Use(Tensor param, Tensor value, Optional<Tensor> remainder, Map<Tensor, Float> multiples) {

        private void put() {
            if (multiples.isEmpty()) {
                param.set(value);
                return;
            }
            try (Tensor sum = param.engine.zeros(param.shape())) {
                if (remainder.isEmpty()) sum.set(value);
                else sum.set(Conversion.joined(value.get(), remainder.get().get()));
                multiples.forEach(sum::add);
                param.set(sum);
            }
        }
    }

    private final Engine engine;
    private final Runnable ended;
    private final List<Use> uses;
    private final List<Tensor> copies = new ArrayList<>();
    private boolean closed;

    /**
     * Copies the parameters, and puts into them what is to be used; or, if that fails, leaves them as they are.
     *
     * @param ended is run when they hold again what trains
     */
    Evaluation(Engine engine, List<Use> uses, Runnable ended) {
        this.engine = engine;
        this.uses = uses;
        this.ended = ended;
        boolean copied = false;
        try {
            for (Use use : uses) {
                Tensor copy = engine.zeros(use.param.dtype(), use.param.shape());
                copies.add(copy);
                copy.set(use.param);
            }
            copied = true;
            uses.forEach(Use::put);
        } catch (RuntimeException | Error e) {
            if (copied) Engine.cleanUp(e, this::putBack);
            engine.discard(copies, e);
            throw e;
        }
    }

    private void putBack() {
        for (int n = 0; n < copies.size(); n++) {
            Tensor param = uses.get(n).param;
            if (!param.isClosed()) param.set(copies.get(n));
        }
    }

    /**
     * Has the parameters hold again, to the last bit, what they held before, whatever they hold now; those that are not closed. Closing twice does nothing,
     * and nothing is left to do once the engine is closed.
     *
     * @throws IllegalStateException if this is not the engine's thread, or work is being recorded; the parameters are as they were then
     */
    @Override
    public void close() {
        if (closed) return;
        engine.release(() -> {
            engine.checkNotCapturing("the end of an evaluation");
            putBack();
            ended.run();
            for (Tensor copy : copies) copy.close();
        });
        closed = true;
    }
}
