package kudari.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import kudari.Engine;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * Where a command runs, as its {@code --device} option says: {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:N}.
 *
 * @param kind {@code auto}, {@code cpu} or {@code cuda}
 * @param ordinal the number of the CUDA device, from 0
 */
record Device(String kind, int ordinal) {

    private static final Pattern FORM = Pattern.compile("(auto|cpu|cuda)|cuda:(\\d{1,4})");

    /** Reads the option's value. */
    static final class Converter implements ITypeConverter<Device> {
        @Override
        public Device convert(String value) {
            Matcher form = FORM.matcher(value);
            if (!form.matches())
                throw new TypeConversionException("expected auto, cpu, cuda or cuda:N, got '" + value + "'");
            if (form.group(1) != null) return new Device(form.group(1), 0);
            return new Device("cuda", Integer.parseInt(form.group(2)));
        }
    }

    /** Opens the engine; {@code threads} are the CPU engine's, if that is what it comes to. */
    Engine open(int threads) {
        return switch (kind) {
            case "cuda" -> Engine.cuda(ordinal);
            case "cpu" -> Engine.cpu(threads);
            default -> Engine.open(threads);
        };
    }

    @Override
    public String toString() {
        return kind.equals("cuda") ? "cuda:" + ordinal : kind;
    }
}
