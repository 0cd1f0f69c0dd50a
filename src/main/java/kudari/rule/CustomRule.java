package kudari.rule;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * A rule of one's own: a record with its loop, as ours are, and the same lines in CUDA. It runs on every engine, with groups, schedules, guards, graphs and
 * checkpoints, as ours do. {@code kudari.test.RuleLaws} tests that it keeps what {@link Rule} promises.
 *
 * <p>The class has a name of its own, for the kernel is named by it, in small letters; it may be nested. Its methods depend on nothing but its
 * components, and are called by several threads at once. The loop throws nothing: what it had done by then would stay.
 *
 * <p>The kernel is the loop's text between the braces of {@code STEP}, as in our {@code kernels/*.cu}: {@code for (int i = 0; i < E; i++)} is its loop, and
 * {@code float* m = s[0]} an array of state; both languages have the functions of {@link Arithmetic}.
 *
 * <pre>{@code
 * #include "step.cuh"
 *
 * STEP(sign, 1) {                       // the class Sign, one array of state
 *   float l2 = k[0], decay = k[1], lr = k[2];
 *   ...
 * }
 * }</pre>
 *
 * <p>It is compiled so that every operation is one IEEE 754 operation; approximate functions ({@code __fdividef}) and fused ones ({@code fma}) would not be
 * what Java computes. A number is written as a float in both, {@code 0.5f}.
 *
 * <p>In a checkpoint its state has the full name of its class: a class that is renamed or moved does not go on from what it saved before.
 */
public non-sealed interface CustomRule extends Rule {

    /** So many arrays of state a rule has at most: more do not fit the registers of a thread. */
    int MOST_ARRAYS = 16;

    /**
     * The text of the kernel. Only a CUDA engine asks for it, when an optimizer is first used. It depends on nothing that a schedule changes.
     *
     * @return unless the rule says otherwise, the resource beside its class that is named as the kernel, with {@code .cu} behind
     * @throws IllegalStateException if there is no such resource
     */
    default String kernel() {
        String name = getClass().getSimpleName().toLowerCase(Locale.ROOT) + ".cu";
        try (InputStream in = getClass().getResourceAsStream(name)) {
            if (in == null)
                throw new IllegalStateException(
                        getClass().getName() + ": expected its kernel as the resource " + name
                                + " beside the class, got none; put it there, in a package that its module opens, or let kernel() give the text");
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
