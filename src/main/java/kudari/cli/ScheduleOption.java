package kudari.cli;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kudari.LearningRate;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * How the learning rate goes over a run, as a {@code --schedule} option says: a shape, after {@code warmup-} or not, and after a colon its
 * numbers, those of the warm-up first: {@code cosine}, {@code step:1000,0.5}, {@code warmup-cosine:500}, {@code warmup-step:500,1000,0.5}.
 *
 * @param warmUp the number of steps of the warm-up, 0 for none
 * @param numbers what the shape takes, in its order
 */
record ScheduleOption(long warmUp, Shape shape, List<Double> numbers) {

    /** The shapes, each with the names of the numbers it takes; of the last there may be several where it ends in dots. */
    enum Shape {
        CONSTANT,
        STEP("EVERY", "FACTOR"),
        MULTI_STEP("FACTOR", "AFTER..."),
        EXPONENTIAL("FACTOR"),
        INVERSE_TIME("DECAY"),
        INVERSE_SQUARE_ROOT,
        CYCLIC("LOW", "UP", "DOWN"),
        COSINE_RESTARTS("FIRST", "FACTOR"),
        LINEAR,
        POLYNOMIAL("POWER"),
        COSINE,
        STABLE_DECAY("LAST"),
        ONE_CYCLE;

        private final List<String> numbers;

        Shape(String... numbers) {
            this.numbers = List.of(numbers);
        }

        /** As in {@code step:EVERY,FACTOR}. */
        String form() {
            return form("", numbers);
        }

        /** As in {@code warmup-step:STEPS,EVERY,FACTOR}. */
        String warmUpForm() {
            return form(
                    "warmup-",
                    Stream.concat(Stream.of("STEPS"), numbers.stream()).toList());
        }

        private String form(String before, List<String> numbers) {
            return before + this + (numbers.isEmpty() ? "" : ":" + String.join(",", numbers));
        }

        boolean takes(int count) {
            boolean several =
                    !numbers.isEmpty() && numbers.get(numbers.size() - 1).endsWith("...");
            return several ? count >= numbers.size() : count == numbers.size();
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    /** What is allowed, for a message or a help text. */
    static final String FORMS = Stream.of(Shape.values()).map(Shape::form).collect(Collectors.joining(", "))
            + "; with a warm-up warmup-cosine:STEPS, warmup-step:STEPS,EVERY,FACTOR and so on";

    /** Reads the option's value. */
    static final class Converter implements ITypeConverter<ScheduleOption> {

        private static final Pattern FORM = Pattern.compile("(warmup-)?([a-z-]+)(?::([^:]+))?");

        @Override
        public ScheduleOption convert(String value) {
            Matcher form = FORM.matcher(value);
            Optional<Shape> shape = !form.matches()
                    ? Optional.empty()
                    : Stream.of(Shape.values())
                            .filter(s -> s.toString().equals(form.group(2)))
                            .findFirst();
            if (shape.isEmpty())
                throw new TypeConversionException("expected one of " + FORMS + ", got '" + value + "'");
            boolean warms = form.group(1) != null;
            String expected = warms ? shape.get().warmUpForm() : shape.get().form();
            List<Double> numbers;
            try {
                numbers = form.group(3) == null
                        ? List.of()
                        : Stream.of(form.group(3).split(",", -1))
                                .map(Double::valueOf)
                                .toList();
            } catch (NumberFormatException e) {
                throw new TypeConversionException("expected " + expected + " in numbers, got '" + value + "'");
            }
            int own = numbers.size() - (warms ? 1 : 0);
            if (own < 0 || !shape.get().takes(own))
                throw new TypeConversionException("expected " + expected + ", got '" + value + "'");
            try {
                ScheduleOption schedule = new ScheduleOption(
                        warms ? whole("STEPS", numbers.get(0)) : 0,
                        shape.get(),
                        numbers.subList(numbers.size() - own, numbers.size()));
                schedule.over(1, Long.MAX_VALUE); // checks the numbers now, not when the run begins
                return schedule;
            } catch (IllegalArgumentException e) {
                throw new TypeConversionException("expected " + expected + ", got '" + value + "': " + e.getMessage());
            }
        }
    }

    /**
     * The rate of every step of a run.
     *
     * @param lr the highest rate: where the shape starts, or, for one cycle, its top; it falls to 0 where the shape has an end
     * @param steps of the run, the warm-up among them
     * @throws IllegalArgumentException if the warm-up leaves no step of the run
     */
    LearningRate over(double lr, long steps) {
        long rest = steps - warmUp;
        if (rest < 1) {
            throw new IllegalArgumentException(
                    this + ": expected a warm-up of fewer steps than the run's " + steps + ", got " + warmUp);
        }
        LearningRate rate =
                switch (shape) {
                    case CONSTANT -> LearningRate.constant(lr);
                    case STEP -> LearningRate.step(lr, whole("EVERY", numbers.get(0)), numbers.get(1));
                    case MULTI_STEP ->
                        LearningRate.multiStep(
                                lr,
                                numbers.get(0),
                                numbers.stream()
                                        .skip(1)
                                        .mapToLong(after -> whole("AFTER", after))
                                        .toArray());
                    case EXPONENTIAL -> LearningRate.exponential(lr, numbers.get(0));
                    case INVERSE_TIME -> LearningRate.inverseTime(lr, numbers.get(0));
                    case INVERSE_SQUARE_ROOT -> LearningRate.inverseSquareRoot(lr, Math.max(1, warmUp));
                    case CYCLIC ->
                        LearningRate.cyclic(
                                numbers.get(0), lr, whole("UP", numbers.get(1)), whole("DOWN", numbers.get(2)));
                    case COSINE_RESTARTS ->
                        LearningRate.cosineRestarts(
                                lr, 0, whole("FIRST", numbers.get(0)), whole("FACTOR", numbers.get(1)));
                    case LINEAR -> LearningRate.linear(lr, 0, rest);
                    case POLYNOMIAL -> LearningRate.polynomial(lr, 0, rest, numbers.get(0));
                    case COSINE -> LearningRate.cosine(lr, 0, rest);
                    case STABLE_DECAY -> stableDecay(lr, rest, whole("LAST", numbers.get(0)));
                    case ONE_CYCLE -> LearningRate.oneCycle(lr, rest);
                };
        return shape == Shape.INVERSE_SQUARE_ROOT ? rate : rate.warmUp(warmUp); // whose own warm-up the formula has
    }

    private LearningRate stableDecay(double lr, long steps, long last) {
        if (last > steps)
            throw new IllegalArgumentException(
                    this + ": expected a decay of at most the run's " + steps + " steps, got " + last);
        return LearningRate.constant(lr).then(steps - last, LearningRate.linear(lr, 0, last));
    }

    /** Whether the rates depend on how many steps the run has. */
    boolean spansTheRun() {
        return switch (shape) {
            case CONSTANT, STEP, MULTI_STEP, EXPONENTIAL, INVERSE_TIME, INVERSE_SQUARE_ROOT, CYCLIC, COSINE_RESTARTS ->
                false;
            case LINEAR, POLYNOMIAL, COSINE, STABLE_DECAY, ONE_CYCLE -> true;
        };
    }

    private static long whole(String name, double number) {
        if (number >= 1 && number <= 1e15 && number == Math.rint(number)) return (long) number;
        throw new IllegalArgumentException(name + ": expected a whole number from 1 up, got " + brief(number));
    }

    private static String brief(double number) {
        return number == Math.rint(number) && Math.abs(number) <= 1e15
                ? String.valueOf((long) number)
                : String.valueOf(number);
    }

    /** As the option says it. */
    @Override
    public String toString() {
        String all = Stream.concat(warmUp > 0 ? Stream.of((double) warmUp) : Stream.of(), numbers.stream())
                .map(ScheduleOption::brief)
                .collect(Collectors.joining(","));
        return (warmUp > 0 ? "warmup-" : "") + shape + (all.isEmpty() ? "" : ":" + all);
    }
}
