import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import kudari.CpuEngine;
import kudari.Engine;
import kudari.Optimizer;
import kudari.Schedule;
import kudari.Tensor;
import kudari.rule.Ftrl;
import kudari.rule.Madgrad;
import kudari.rule.Rule;
import org.bytedeco.javacpp.FloatPointer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.GradientUpdater;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.schedule.ISchedule;

/**
 * Kudari's rules as an updater of Deeplearning4j, on the CPU: to be copied and extended by a class with a constructor without arguments, for a saved network
 * names the class and nothing else. DL4J asks an updater for what it then subtracts from the parameters, so this steps a zero and turns the sign. See
 * docs/dl4j.md.
 */
public abstract class KudariUpdater implements IUpdater {

    /** The rule of each step. */
    protected abstract Schedule schedule();

    /** The state of all parameters lies in a view that DL4J makes, saves and loads. */
    @Override
    public long stateSize(long parameters) {
        return parameters * schedule().rule(1).state().size();
    }

    @Override
    public GradientUpdater<KudariUpdater> instantiate(INDArray view, boolean initialize) {
        return new Steps(view, initialize);
    }

    @Override
    public GradientUpdater<KudariUpdater> instantiate(Map<String, INDArray> state, boolean initialize) {
        throw new UnsupportedOperationException("expected a view of all state, got " + state.keySet());
    }

    /** Layers whose updaters are equal are stepped together. */
    @Override
    public boolean equals(Object other) {
        return other != null && other.getClass() == getClass();
    }

    @Override
    public int hashCode() {
        return getClass().hashCode();
    }

    @Override
    public IUpdater clone() {
        return this; // has nothing that changes
    }

    @Override
    public double getLearningRate(int iteration, int epoch) {
        return schedule().rule(iteration + 1).lr();
    }

    @Override
    public boolean hasLearningRate() {
        return false; // none that DL4J could set
    }

    @Override
    public void setLrAndSchedule(double lr, ISchedule schedule) {
        throw new UnsupportedOperationException("the learning rate is that of schedule()");
    }

    /** The elements of an array, where they are. */
    static FloatBuffer elements(INDArray of) {
        if (of.dataType() != DataType.FLOAT) throw new IllegalArgumentException("expected FLOAT, got " + of.dataType());
        if (of.length() > 1 && of.elementWiseStride() != 1)
            throw new IllegalArgumentException(
                    "expected elements one after the other, got a view " + of.shapeInfoToString());
        return new FloatPointer(of.data().addressPointer())
                .capacity(of.length())
                .asBuffer();
    }

    private final class Steps implements GradientUpdater<KudariUpdater> {

        private INDArray view;
        private CpuEngine engine;
        private Optimizer optimizer;
        private Tensor zero;

        Steps(INDArray view, boolean initialize) {
            setStateViewArray(view, null, 'f', initialize);
        }

        @Override
        public void setStateViewArray(INDArray view, long[] shape, char order, boolean initialize) {
            this.view = view;
            optimizer = null;
            if (!initialize || view == null) return;
            FloatBuffer elements = elements(view);
            Rule rule = schedule().rule(1);
            int length = elements.capacity() / rule.state().size();
            for (int i = 0; i < elements.capacity(); i++) elements.put(i, rule.initial(i / length));
        }

        @Override
        public void applyUpdater(INDArray gradient, int iteration, int epoch) {
            if (optimizer == null) begin(gradient.length(), iteration);
            Tensor g = engine.wrap(elements(gradient));
            zero.zero();
            optimizer.update(zero, g);
            g.zero();
            g.add(zero, -1);
            // Into the view after every step: DL4J does not tell when it saves.
            List<String> names = schedule().rule(1).state();
            for (int n = 0; n < names.size(); n++)
                stateIn(n, gradient.length())
                        .set(optimizer.state(Optimizer.SINGLE).get(names.get(n)));
        }

        private void begin(long length, int iteration) {
            Rule rule = schedule().rule(1);
            if (rule.decay() != 0 || rule.l2() != 0 || rule instanceof Madgrad || rule instanceof Ftrl)
                throw new IllegalArgumentException(
                        rule + ": expected a rule that looks at gradients alone, got one that"
                                + " looks at parameters, which DL4J does not show; give decay and L2 to DL4J, or step params()");
            if (engine == null) engine = Engine.cpu(); // of the thread that calls fit
            zero = engine.zeros(length);
            optimizer = engine.optimizer(schedule());
            // State that was loaded is put into the view without a word, so it is always taken from there.
            Map<String, Tensor> state = new LinkedHashMap<>();
            for (int n = 0; n < rule.state().size(); n++) state.put(rule.state().get(n), stateIn(n, length));
            optimizer.resume(iteration, Map.of(Optimizer.SINGLE, state));
        }

        private Tensor stateIn(int n, long length) {
            return engine.wrap(elements(view).slice((int) (n * length), (int) length));
        }

        @Override
        public KudariUpdater getConfig() {
            return KudariUpdater.this;
        }

        @Override
        public Map<String, INDArray> getState() {
            return view == null ? Map.of() : Map.of("view", view);
        }

        @Override
        public void setState(Map<String, INDArray> state, boolean initialize) {
            throw new UnsupportedOperationException("expected a view of all state, got " + state.keySet());
        }
    }
}
