<?php

/*
 * Prints, as JSON, what Reflection knows of the classes of the extension hadsn or, with a directory as the argument, of the
 * classes that the PHP files in it declare.
 */

declare(strict_types=1);

/** @return list<class-string> */
function classes(?string $directory): array
{
    if ($directory === null) {
        return array_values(array_map(
            static fn(ReflectionClass $class): string => $class->getName(),
            (new ReflectionExtension('hadsn'))->getClasses(),
        ));
    }
    if (extension_loaded('hadsn')) {
        throw new LogicException('the stubs can only be described where the extension is not loaded');
    }
    $before = [...get_declared_classes(), ...get_declared_interfaces()];
    // A class needs what it extends: whatever is missing is found by its path.
    spl_autoload_register(static function (string $class) use ($directory): void {
        require_once "$directory/" . strtr($class, '\\', '/') . '.php';
    });
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($directory, FilesystemIterator::SKIP_DOTS)) as $file) {
        require_once $file->getPathname();
    }

    return array_values(array_diff([...get_declared_classes(), ...get_declared_interfaces()], $before));
}

/** @return array<string, mixed> */
function describeClass(ReflectionClass $class): array
{
    $own = static fn(ReflectionMethod|ReflectionProperty|ReflectionClassConstant $member): bool
        => $member->getDeclaringClass()->getName() === $class->getName();
    $interfaces = $class->getInterfaceNames();
    sort($interfaces);

    return [
        'kind' => $class->isInterface() ? 'interface' : ($class->isEnum() ? 'enum' : 'class'),
        'modifiers' => Reflection::getModifierNames($class->isInterface() ? 0 : $class->getModifiers()),
        'parent' => $class->getParentClass() ? $class->getParentClass()->getName() : null,
        'interfaces' => $interfaces,
        'attributes' => attributes($class),
        'constants' => byName(array_filter($class->getReflectionConstants(), $own), describeConstant(...)),
        'properties' => byName(array_filter($class->getProperties(), $own), describeProperty(...)),
        'methods' => byName(array_filter($class->getMethods(), $own), describeMethod(...)),
    ];
}

/** @return array<string, mixed> */
function describeConstant(ReflectionClassConstant $constant): array
{
    return ['modifiers' => Reflection::getModifierNames($constant->getModifiers()), 'value' => $constant->getValue()];
}

/** @return array<string, mixed> */
function describeProperty(ReflectionProperty $property): array
{
    return [
        'modifiers' => Reflection::getModifierNames($property->getModifiers()),
        'type' => (string) $property->getType(),
        'default' => $property->hasDefaultValue() ? var_export($property->getDefaultValue(), true) : null,
        'attributes' => attributes($property),
    ];
}

/** @return array<string, mixed> */
function describeMethod(ReflectionMethod $method): array
{
    return [
        'modifiers' => Reflection::getModifierNames($method->getModifiers()),
        'returns' => (string) $method->getReturnType(),
        'returns reference' => $method->returnsReference(),
        'attributes' => attributes($method),
        // A list: the order counts.
        'parameters' => array_map(describeParameter(...), $method->getParameters()),
        'required' => $method->getNumberOfRequiredParameters(),
    ];
}

/** @return array<string, mixed> */
function describeParameter(ReflectionParameter $parameter): array
{
    return [
        'name' => $parameter->getName(),
        'type' => (string) $parameter->getType(),
        'default' => $parameter->isDefaultValueAvailable() ? var_export($parameter->getDefaultValue(), true) : null,
        'by reference' => $parameter->isPassedByReference(),
        'variadic' => $parameter->isVariadic(),
        'attributes' => attributes($parameter),
    ];
}

/** @return list<string> */
function attributes(ReflectionClass|ReflectionClassConstant|ReflectionProperty|ReflectionMethod|ReflectionParameter $of): array
{
    $names = array_map(
        static fn(ReflectionAttribute $attribute): string => $attribute->getName() . json_encode($attribute->getArguments()),
        $of->getAttributes(),
    );
    sort($names);

    return $names;
}

/** @return array<string, array<string, mixed>> */
function byName(array $members, callable $describe): array
{
    $all = [];
    foreach ($members as $member) {
        $all[$member->getName()] = $describe($member);
    }
    ksort($all);

    return $all;
}

$all = [];
foreach (classes($argv[1] ?? null) as $name) {
    $all[$name] = describeClass(new ReflectionClass($name));
}
ksort($all);
echo json_encode($all, JSON_THROW_ON_ERROR);
