package kudari.softcuda;

import static jcuda.driver.JCudaDriver.*;
import static kudari.softcuda.Probe.must;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import jcuda.driver.CUmodule;
import kudari.NvrtcDoor;

/**
 * What {@link SoftCudaTest} runs in a JVM on the GPU in software: the PTX of the library's kernels, damaged at random, some thousand times. Each must
 * load, or be refused with a line.
 */
final class MutationProbe {

    private static final int TEXTS = 1000;

    private static final String[] KERNELS = {"adam.cu", "adagrad.cu", "reduce.cu", "tensor.cu", "nn.cu"};

    /** Numbers at the edges of something. */
    private static final String[] NUMBERS = {
        "0",
        "-1",
        "3",
        "31",
        "1025",
        "65536",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "99999999999999999999",
        "0x",
        "0f",
        "1.5"
    };

    private static final String[] PIECES = {
        "(", ")", "{", "}", "[", "]", "<", ">", ",", ";", ":", "|", "@", "!", "-", "+", "=", "\"", "/*", "//", ".", "%",
        "_", "\u00e9", "\u0001"
    };

    /** Words, each with the blanks behind it: the tokens of PTX, roughly. */
    private static final Pattern WORD = Pattern.compile("[\\w.%$]+\\s*|.\\s*", Pattern.DOTALL);

    private final Random random = new Random(20261127);
    private final Probe probe = new Probe("");
    private int loaded, refused;

    private MutationProbe() {}

    public static void main(String[] arguments) throws IOException {
        NvrtcDoor.load();
        setExceptionsEnabled(false);
        must(cuInit(0));
        MutationProbe probe = new MutationProbe();
        List<String> texts = new ArrayList<>(List.of(Probe.compile(Probe.KERNELS)));
        for (String kernel : KERNELS) texts.add(NvrtcDoor.ptx(kernel));
        probe.probe.in("damaged", () -> {
            int wrong = 0;
            for (String text : texts) {
                List<String> words = new ArrayList<>();
                WORD.matcher(text.replaceAll("//.*", "")).results().forEach(word -> words.add(word.group()));
                must(cuModuleLoadData(new CUmodule(), text));
                for (int n = 0; n < TEXTS; n++) wrong += probe.isWrong(probe.damaged(words)) ? 1 : 0;
            }
            return wrong;
        });
        System.out.println("loaded\t" + probe.loaded + "\t[]");
        System.out.println("refused\t" + probe.refused + "\t[]");
        String peak = Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmHWM:"))
                .findFirst()
                .orElseThrow();
        System.out.println("peak in MB\t" + Long.parseLong(peak.replaceAll("\\D", "")) / 1024 + "\t[]");
    }

    private String damaged(List<String> words) {
        List<String> damaged = new ArrayList<>(words);
        for (int times = 1 + random.nextInt(3); times > 0 && !damaged.isEmpty(); times--) {
            int at = random.nextInt(damaged.size());
            String any = words.get(random.nextInt(words.size()));
            switch (random.nextInt(14)) {
                case 0 -> damaged.remove(at);
                case 1 -> damaged.add(at, any);
                case 2 -> damaged.set(at, any);
                case 3 -> damaged.add(at, damaged.get(at));
                case 4 -> damaged.add(at, PIECES[random.nextInt(PIECES.length)]);
                case 5 -> damaged.set(at, PIECES[random.nextInt(PIECES.length)]);
                case 6 -> damaged.set(at, NUMBERS[random.nextInt(NUMBERS.length)] + " ");
                case 7 ->
                    damaged.subList(at, Math.min(damaged.size(), at + random.nextInt(20)))
                            .clear();
                case 8 -> damaged.set(at, inside(damaged.get(at)));
                default -> damaged.set(at, alike(words, damaged.get(at)));
            }
        }
        String text = String.join("", damaged);
        return random.nextInt(20) == 0 ? text.substring(0, random.nextInt(text.length() + 1)) : text;
    }

    /** Another word of the same kind, so that not every text is refused for its grammar. */
    private String alike(List<String> words, String word) {
        for (int tries = 0; tries < 100; tries++) {
            String other = words.get(random.nextInt(words.size()));
            if (kind(other) == kind(word) && !other.equals(word)) return other;
        }
        return word;
    }

    private static int kind(String word) {
        char first = word.charAt(0);
        return Character.isLetter(first) ? 'a' : Character.isDigit(first) ? '0' : first;
    }

    /** A word with one of its characters gone, doubled, or another. */
    private String inside(String word) {
        StringBuilder text = new StringBuilder(word);
        int at = random.nextInt(text.length());
        switch (random.nextInt(3)) {
            case 0 -> text.deleteCharAt(at);
            case 1 -> text.insert(at, text.charAt(at));
            default -> text.setCharAt(at, (char) (32 + random.nextInt(95)));
        }
        return text.toString();
    }

    private boolean isWrong(String text) {
        CUmodule module = new CUmodule();
        int code = cuModuleLoadData(module, text);
        if (code == 0) {
            loaded++;
            return cuModuleUnload(module) != 0;
        }
        refused++;
        boolean right = code == 218 && probe.ask("errors").contains("; PTX line ");
        if (!right) System.out.println("error " + code + " of " + text);
        probe.ask("reset");
        return !right;
    }
}
