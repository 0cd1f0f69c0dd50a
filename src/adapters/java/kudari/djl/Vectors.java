package kudari.djl;

import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.AbstractBlock;
import ai.djl.nn.Parameter;
import ai.djl.training.ParameterStore;
import ai.djl.util.PairList;
import java.util.ArrayList;
import java.util.List;

/** Parameters named 0, 1, 2, …, and nothing else: for steps with gradients that are given. */
final class Vectors extends AbstractBlock {

    private final List<Parameter> parameters = new ArrayList<>();

    Vectors(int count) {
        for (int n = 0; n < count; n++) add();
    }

    /** One more parameter. */
    Parameter add() {
        Parameter parameter = addParameter(Parameter.builder()
                .setName(String.valueOf(parameters.size()))
                .setType(Parameter.Type.WEIGHT)
                .build());
        parameters.add(parameter);
        return parameter;
    }

    Parameter parameter(int n) {
        return parameters.get(n);
    }

    @Override
    protected NDList forwardInternal(
            ParameterStore store, NDList inputs, boolean training, PairList<String, Object> more) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Shape[] getOutputShapes(Shape[] inputs) {
        return inputs;
    }
}
