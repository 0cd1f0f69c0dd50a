package kudari.rule;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.Stream;

/**
 * Other libraries, whose rules are here with their defaults and conventions:
 *
 * <pre>{@code
 * Rule adam = Peer.KERAS.rule(Adam.class, 3e-4).orElseThrow();     // keras.optimizers.Adam(3e-4)
 * }</pre>
 *
 * <p>What a program knows beforehand it writes as {@code Adam.of(3e-4)}: each factory of a rule says by {@link Preset} whose it is. The versions are
 * PyTorch 2.13, Keras 3.15, optax 0.2.8 and Deeplearning4j 1.0.0-M2.1; the book is «ゼロから作る Deep Learning» (Deep Learning from Scratch).
 */
public enum Peer {

    /** PyTorch, {@code torch.optim}. */
    PYTORCH(
            "PyTorch",
            "PyTorch's weight_decay is .l2(…) here, but that of AdamW and Muon is .decay(…); clip_grad_norm_ is Guard.clipNorm, clip_grad_value_ is"
                    + " Guard.clipValue."),

    /** Keras 3, {@code keras.optimizers}. */
    KERAS(
            "Keras",
            "Keras's weight_decay is .decay(…) here, with every rule; global_clipnorm is Guard.clipNorm, clipnorm is Guard.clipTensorNorm,"
                    + " clipvalue is Guard.clipValue."),

    /** optax. */
    OPTAX(
            "optax",
            "optax's add_decayed_weights before a rule is .l2(…) here, adamw's weight_decay is .decay(…); clip_by_global_norm is"
                    + " Guard.clipNorm, clip is Guard.clipValue."),

    /** Deeplearning4j, {@code org.nd4j.linalg.learning.config}. */
    DL4J(
            "DL4J",
            "DL4J's l2 is .l2(…) here, weightDecay with applyLR is .decay(…); ClipElementWiseAbsoluteValue is Guard.clipValue,"
                    + " ClipL2PerParamType is Guard.clipTensorNorm."),

    /** The book; its six rules are the first of {@link Rule}. */
    BOOK("the book", "");
    private final String name, conventions;

    Peer(String name, String conventions) {
        this.name = name;
        this.conventions = conventions;
    }

    /** How what surrounds its rules is called here: weight decay and clipping, in a sentence; empty for the book. */
    public String conventions() {
        return conventions;
    }

    /**
     * Its rule at its default learning rate.
     *
     * @param type the class with the factories: a rule's record, or {@link AdamW}
     * @return none if it has no such rule, or no default learning rate for it
     */
    public Optional<Rule> rule(Class<?> type) {
        OptionalDouble lr = lr(type);
        return lr.isPresent() ? rule(type, lr.getAsDouble()) : Optional.empty();
    }

    /**
     * Its rule, with its defaults but for the learning rate.
     *
     * @param type the class with the factories: a rule's record, or {@link AdamW}
     * @param lr in the units of {@link Rule#lr}
     * @return none if it has no such rule
     */
    public Optional<Rule> rule(Class<?> type, double lr) {
        return factory(type).map(factory -> {
            try {
                return (Rule) factory.invoke(null, lr);
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof RuntimeException refusal) throw refusal;
                throw new IllegalStateException(e);
            } catch (IllegalAccessException e) {
                throw new IllegalStateException(factory + ": expected a public factory of a public class", e);
            }
        });
    }

    /**
     * Its default learning rate.
     *
     * @param type the class with the factories: a rule's record, or {@link AdamW}
     * @return none if it has no such rule, or wants to be told
     */
    public OptionalDouble lr(Class<?> type) {
        double lr = factory(type).flatMap(this::preset).map(Preset::lr).orElse(Double.NaN);
        return Double.isNaN(lr) ? OptionalDouble.empty() : OptionalDouble.of(lr);
    }

    /** The factory that makes its rule: a static method that takes a learning rate. */
    public Optional<Method> factory(Class<?> type) {
        return Stream.of(type.getMethods())
                .filter(method -> preset(method).isPresent())
                .findFirst();
    }

    private Optional<Preset> preset(Method method) {
        return Stream.of(method.getAnnotationsByType(Preset.class))
                .filter(preset -> preset.peer() == this)
                .findFirst();
    }

    /** As people write it. */
    @Override
    public String toString() {
        return name;
    }
}
