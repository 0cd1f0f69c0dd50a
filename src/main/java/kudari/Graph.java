package kudari;

/**
 * Work that was recorded once, to be done any number of times. Made by {@link Engine#capture}. On a device it is a CUDA graph, whose launch costs the
 * host a fraction of what its kernels would cost one by one; on the CPU it is the body itself.
 *
 * <pre>{@code
 * Runnable step = () -> {
 *     net.gradient();
 *     adam.update(net.params(), net.grads());
 * };
 * net.load(samples, batches.next(), 128);
 * step.run();                                       // compiles, allocates and lays out what the step needs
 * try (Graph graph = engine.capture(step)) {
 *     for (...) {
 *         net.load(samples, batches.next(), 128);
 *         graph.launch();
 *     }
 * }
 * }</pre>
 *
 * <p>A launch computes the same bits as the body would. Optimizers in it follow their schedules, count their steps and leave out those that a guard
 * skips. What the body did besides, a count or a line of a log, happens at the recording on a device and at every launch on the CPU. A launch works on the memory that the body worked on when it was recorded: what of it is closed meanwhile is kept until the graph is closed.
 */
public sealed interface Graph extends AutoCloseable permits CpuGraph, CudaGraph {

    /**
     * Does what was recorded, once, in the order of the engine's work. Returns at once where the engine works on its own. On a device, what a listener of losses
     * throws goes to the caller when the launch has been done.
     *
     * @throws IllegalStateException if the graph or its engine is closed, this is not the thread that opened the engine, an optimizer in it has
     *     been closed or, on a device, resumed, or its schedule has no rule for the step; on a device nothing has been done then, on the CPU what
     *     the body did before
     */
    void launch();

    /** Forgets what was recorded, and frees what was kept for it. Waits for the last launch. Closing twice does nothing. */
    @Override
    void close();
}
