package kudari.cli;

import java.util.Optional;
import kudari.Engine;
import kudari.Graph;
import kudari.nn.Network;
import kudari.nn.Samples;

/** The step of a training loop over batches of one size: the first is run, and recorded for all that follow. */
final class TrainingStep implements AutoCloseable {

    private final Engine engine;
    private final Network net;
    private final Samples samples;
    private final int batch;
    private final Runnable body;
    private Optional<Graph> graph = Optional.empty();

    /**
     * A step.
     *
     * @param update what follows the gradient
     */
    TrainingStep(Engine engine, Network net, Samples samples, int batch, Runnable update) {
        this.engine = engine;
        this.net = net;
        this.samples = samples;
        this.batch = batch;
        body = () -> {
            net.gradient();
            update.run();
        };
    }

    /** Does it on the samples of these numbers. */
    void run(int[] rows) {
        net.load(samples, rows, batch);
        if (graph.isPresent()) {
            graph.get().launch();
        } else {
            body.run();
            graph = Optional.of(engine.capture(body));
        }
    }

    @Override
    public void close() {
        graph.ifPresent(Graph::close);
    }
}
